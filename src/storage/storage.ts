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
  readonly protection: Protection;
};

/** What the store does against deletion and overwriting. `unknown`: it does not say. */
export type Protection = {
  readonly versioning: 'on' | 'off' | 'unknown';
  /** Whether objects can be locked there at all. */
  readonly canLock: boolean | 'unknown';
  /** What the store locks by itself, whatever is written. */
  readonly lockedByDefault: LockTerms | null;
  /** Whether it removes old versions some day. */
  readonly oldVersionsExpire: boolean | 'unknown';
};

/** `governance`: who has a special permission may delete all the same; `compliance`: nobody. */
export type LockMode = 'governance' | 'compliance';
export type LockTerms = { readonly mode: LockMode; readonly days: number };

/** One of the versions of an object that a store keeps. */
export type ObjectVersion = {
  readonly name: string;
  readonly versionId: string;
  readonly sizeBytes: number;
  /** Equal when the content is. */
  readonly contentTag: string;
  /** By the store's clock. */
  readonly storedAt: Date;
  /** What `read` and `list` of the storage show. */
  readonly isLatest: boolean;
  /** It says that the object was deleted then, and has no content. */
  readonly isDeletion: boolean;
};

/**
 * Versions that nobody can delete for a time. All times are the store's: a clock of ours that is
 * wrong must not lock anything for years.
 */
export interface ObjectLock {
  readonly terms: LockTerms;
  /** No lock is written for longer. */
  readonly longestMs: number;
  /** Every version of every object whose name begins with the prefix; complete, or it throws. */
  listVersions(prefix: string, signal: AbortSignal): AsyncIterable<ObjectVersion>;
  /**
   * Makes sure that each version is locked for the days of the terms and two more. A lock is never
   * shortened. `locked`: those without a lock get none. Answers how many locks were written.
   * @throws storage errors; what was locked by then stays so
   */
  extend(
    versions: Iterable<ObjectVersion>,
    which: 'all' | 'locked',
    signal: AbortSignal,
  ): Promise<number>;
  /** The end of the lock; null: there is none. */
  findEnd(version: ObjectVersion, signal: AbortSignal): Promise<Date | null>;
  /**
   * Tries on a small object whether a locked version can be deleted; it stays, hidden, for a
   * minute. @throws storage-unavailable when it can
   */
  probe(signal: AbortSignal): Promise<void>;
}

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
  /** Only where the address asks for locks. */
  readonly lock?: ObjectLock;
  /**
   * A link that whoever has it can read the object with, without credentials, until it expires. It
   * is a secret. Only where the store makes such links. @throws not-found, invalid (a lifetime of
   * more than seven days, or of less than a second)
   */
  presignedDownload?(name: string, lifetimeMs: number, signal: AbortSignal): Promise<string>;
}
