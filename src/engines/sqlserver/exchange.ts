// The door to the place where a server leaves its backups and finds those that it restores: the
// server writes and reads them itself. Interfaces only; a folder that both sides see is one such
// place, a bucket another.
//
// Nothing that lies there is needed once it is stored, but for log that is not stored yet: it is in
// no other place.
import type { BackupDevices } from './devices.ts';

/** One backup there: `stripes` files or objects that belong together. */
export type ExchangeName = {
  /** `[a-z0-9-]{1,100}`, never made of what a user has named. */
  readonly name: string;
  readonly stripes: number;
};

export type ExchangeFile = {
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
  /**
   * Its bytes from there on. @throws storage-unavailable, also when there are fewer than its size
   */
  read(fromBytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
};

/** Exactly so many bytes come. */
export type FileToPut = {
  readonly sizeBytes: number;
  readonly bytes: AsyncIterable<Uint8Array>;
};

export interface Exchange {
  /** As the server names them, one of each stripe. */
  devices(backup: ExchangeName): BackupDevices;
  /** One stripe (from 0), as far as it is there; null: it is not. @throws storage-unavailable */
  open(backup: ExchangeName, stripe: number, signal: AbortSignal): Promise<ExchangeFile | null>;
  /** Durable, and readable for the server, when it answers. @throws storage-full, … */
  put(backup: ExchangeName, stripe: number, file: FileToPut, signal: AbortSignal): Promise<void>;
  /** All stripes and what unfinished ones left; harmless when there is nothing. */
  remove(backup: ExchangeName, signal: AbortSignal): Promise<void>;
  /** The names that begin so, in the order of the alphabet. */
  list(prefix: string, signal: AbortSignal): Promise<readonly ExchangeName[]>;
}
