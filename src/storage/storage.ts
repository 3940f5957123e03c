// Named byte strings. Names are relative, `/` between parts, each part of `[A-Za-z0-9._-]`, at most
// 512 bytes.
//
// What every implementation promises (held by `test/suites/storage-suite.ts`):
// - An object is there whole or not at all: nobody ever reads half of one.
// - What `publish` has answered can be read, and shows up in `list`, at once.
// - What was published is durable when a `flush` that names it answers; `createExclusive` is
//   durable when it answers.
// - `list` is complete or throws: a failed listing is never "nothing there".
// - "does not exist" is the `not-found` error; every other failure is `storage-unavailable` or
//   `storage-full`. A remote store is tried again for a while before that is said.

export type ObjectInfo = { readonly name: string; readonly sizeBytes: number };

/** One object being written. Nothing is visible before `publish`. */
export interface ObjectWriter {
  /** Bytes are taken over: the caller must not change them afterwards. */
  write(bytes: Uint8Array): Promise<void>;
  /** @throws conflict when the name is taken: objects are written once */
  publish(): Promise<void>;
  /** Forgets what was written; harmless after `publish`. */
  abort(): Promise<void>;
}

export type ByteRange = { readonly offsetBytes: number; readonly lengthBytes: number };

/** What a remote store can and cannot do, found out by trying. */
export type StorageTraits = {
  /** `atomic`, or how the store fails to be: then `createExclusive` is slower and less sure. */
  readonly conditionalCreate: 'atomic' | 'overwrites' | 'refused';
  /** How far its clock is ahead of ours. */
  readonly skewMs: number | null;
};

export interface Storage {
  /** For messages: `file:///var/lib/cairn/repository`. Holds no secret. */
  readonly location: string;
  openWriter(name: string, signal: AbortSignal): Promise<ObjectWriter>;
  /** A barrier: the named objects, published before, are durable when it answers. */
  flush(names: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * Of several racing callers exactly one gets `created`. Durable. The bytes must hold something
   * that no other caller writes: a key, a random id.
   */
  createExclusive(
    name: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'>;
  /**
   * The whole object, or a range of it; a range that reaches past the end throws
   * `repository-damaged`. The buffer is the caller's and owns its memory: it may be transferred to
   * a thread.
   */
  read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer>;
  /** @throws not-found */
  stat(name: string, signal: AbortSignal): Promise<ObjectInfo>;
  /** Every object whose name begins with the prefix, in no particular order. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo>;
  /** Deleting what is not there is no error. */
  delete(name: string, signal: AbortSignal): Promise<void>;
  /** Only where stores of the kind differ. @throws storage errors */
  examine?(signal: AbortSignal): Promise<StorageTraits>;
}
