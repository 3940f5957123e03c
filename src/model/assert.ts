/** Marks a `switch` as exhaustive: a new member of the union fails to compile here. */
export function assertNever(value: never): never {
  throw new Error(`bug: unexpected value ${JSON.stringify(value)}`);
}

/** For programmer errors only: the job that meets one fails as `bug`. */
export function assert(condition: unknown, text: string): asserts condition {
  if (!condition) throw new Error(`bug: ${text}`);
}
