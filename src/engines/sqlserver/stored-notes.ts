// What a backup keeps for its restore, beside the files: JSON in the manifest. Numbers of the log
// travel as text.
import type { EngineNotes } from '../engine.ts';

export type StoredNotes = {
  readonly format: 1;
  readonly server: {
    readonly majorVersion: number;
    readonly edition: string;
    readonly engineEdition: number;
    readonly platform: 'windows' | 'linux';
    readonly collation: string;
    /** Of its clock when the backup began. */
    readonly offsetMinutes: number;
  };
  readonly databases: readonly StoredDatabase[];
  /** Left out of a backup of the whole server, and why. */
  readonly skipped: readonly { readonly name: string; readonly why: string }[];
  /** What people should know: lines of text. */
  readonly findings: readonly string[];
};

export type StoredDatabase = {
  readonly name: string;
  readonly recoveryModel: 'SIMPLE' | 'FULL' | 'BULK_LOGGED';
  readonly full: StoredSet;
  /** What has changed since: both are restored. */
  readonly differential: StoredSet | null;
};

/** One backup that the server has written. */
export type StoredSet = {
  /** The files of the backup, one for each stripe, in order. */
  readonly paths: readonly string[];
  /** A row of the server's history, as `record-json.ts` writes it. */
  readonly record: Readonly<Record<string, unknown>>;
  /** Of the certificate without which it is worthless; null: it is not encrypted. */
  readonly encryptorThumbprint: string | null;
};

/** Beside each backup of log in the archive: `<name of the file>.json`. */
export type StoredLog = {
  readonly database: string;
  readonly record: Readonly<Record<string, unknown>>;
  readonly encryptorThumbprint: string | null;
};

export function toNotes(notes: StoredNotes): EngineNotes {
  return notes as unknown as EngineNotes;
}
