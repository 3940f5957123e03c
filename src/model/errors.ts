// The closed list of what can go wrong. An error here has no HTTP in it: only `api/errors.ts` turns
// a kind into a status, only `jobs/` into retry or fail, only `cli/` into an exit code.
import type { ErrorReason } from './error-reasons.ts';

export const errorKinds = [
  'not-found',
  'conflict',
  'invalid',
  'unauthenticated',
  'forbidden',
  'engine-unreachable',
  'engine-refused',
  'storage-unavailable',
  'storage-full',
  'repository-damaged',
  'log-gap',
  'cancelled',
  'bug',
] as const;
export type ErrorKind = (typeof errorKinds)[number];

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

export type ErrorOptions = {
  /** Which rule refused the request, where the kind alone does not say it. */
  readonly reason?: ErrorReason;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string;
  /** For the log only; never shown to a client. Must hold no secret. */
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
};

/**
 * The one error class. `message` is safe for the client: lower case, no full stop, values included.
 * Secrets never enter message, hint or details.
 */
export class CairnError extends Error {
  readonly kind: ErrorKind;
  readonly reason: ErrorReason | null;
  readonly hint: string | null;
  readonly details: ErrorDetails;

  constructor(kind: ErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CairnError';
    this.kind = kind;
    this.reason = options.reason ?? null;
    this.hint = options.hint ?? null;
    this.details = options.details ?? {};
  }
}

/** What is kept of an error in the catalog and shown on a job. */
export type RecordedError = {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly hint: string | null;
};

/** Everything thrown becomes one of the closed list; what nobody foresaw is a `bug`. */
export function toCairnError(error: unknown): CairnError {
  if (error instanceof CairnError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new CairnError('bug', `unexpected error: ${text}`, { cause: error });
}

export function recordError(error: unknown): RecordedError {
  const { kind, message, hint } = toCairnError(error);
  return { kind, message, hint };
}

export function isErrorKind(error: unknown, kind: ErrorKind): error is CairnError {
  return error instanceof CairnError && error.kind === kind;
}
