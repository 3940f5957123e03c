// What a check has found. An object that cannot be read now is not damaged, and one that a newer
// version wrote is neither: both mean that nobody knows.
import type { CairnError } from '../model/errors.ts';
import { isErrorKind, toCairnError } from '../model/errors.ts';
import type { BackupId } from '../model/ids.ts';

export type CheckFinding = {
  /** `unreadable`: the storage failed, or a newer version wrote it. */
  readonly kind: 'damaged' | 'unreadable';
  readonly object: string;
  /** A sentence for the reader, naming the object. */
  readonly message: string;
  readonly hint: string | null;
  /** Backups that need the object, at most `backupsMax`. */
  readonly backupIds: readonly BackupId[];
  readonly moreBackups: number;
};

export type CheckCounts = {
  instances: number;
  backups: number;
  /** Deleted while the check ran. */
  goneBackups: number;
  packs: number;
  packBytes: number;
  maps: number;
  mapBytes: number;
  mapParts: number;
  keys: number;
  logStreams: number;
  logIntervals: number;
  /** Pieces of log files, but for those that were replaced. */
  logPieces: number;
  logBytes: number;
  logPiecesRead: number;
  /** Packs whose frames were all read, and the sealed bytes of these. */
  packsRead: number;
  bytesRead: number;
  framesRead: number;
  pagesCompared: number;
  /** Objects that no backup needs, or needs yet; not counted where manifests cannot be read. */
  unneeded: number;
  unneededBytes: number;
};

export type CheckReport = {
  readonly counts: Readonly<CheckCounts>;
  readonly findings: readonly CheckFinding[];
  /** Findings beyond the `findingsMax` that are listed. */
  readonly moreFindings: number;
  /** Backups that the storage held when the check began. */
  readonly storedIds: ReadonlySet<BackupId>;
  /** Names that Cairn did not write, at most `foreignMax`. */
  readonly foreign: readonly string[];
};

export const findingsMax = 500;
export const foreignMax = 50;
const backupsMax = 100;
const standsAlone = /^keys\/|^instances\/[^/]+\/log\//;
/** With so many objects that the storage does not give out there is nothing left to check. */
const unreadableMax = 20;

export function emptyCounts(): CheckCounts {
  return {
    ...{ instances: 0, backups: 0, goneBackups: 0, packs: 0, packBytes: 0, maps: 0, mapBytes: 0 },
    ...{ mapParts: 0, keys: 0, packsRead: 0, bytesRead: 0, framesRead: 0, pagesCompared: 0 },
    ...{ logStreams: 0, logIntervals: 0, logPieces: 0, logBytes: 0, logPiecesRead: 0 },
    ...{ unneeded: 0, unneededBytes: 0 },
  };
}

type Noted = Omit<CheckFinding, 'backupIds' | 'moreBackups'> & { readonly backups: Set<BackupId> };

/** Collects findings, one for each object. */
export class FindingBook {
  readonly #noted = new Map<string, Noted>();
  #more = 0;
  #calls = 0;
  #unreadable = 0;

  /** Grows with everything that is noted. */
  get calls(): number {
    return this.#calls;
  }

  get more(): number {
    return this.#more;
  }

  has(object: string): boolean {
    return this.#noted.has(object);
  }

  /**
   * Notes what reading an object has thrown. @throws what is no finding: a cancel, a bug, storage
   * that fails again and again
   */
  note(error: unknown, object: string, backupId: BackupId | null): void {
    const known = toCairnError(error);
    const kind = kindOf(known);
    if (kind === null) throw error;
    this.#calls++;
    if (isErrorKind(known, 'storage-unavailable') && ++this.#unreadable > unreadableMax)
      throw error;
    const name = typeof known.details['object'] === 'string' ? known.details['object'] : object;
    const found = this.#noted.get(name);
    if (found) {
      if (backupId) found.backups.add(backupId);
      return;
    }
    if (this.#noted.size >= findingsMax) {
      this.#more++;
      return;
    }
    const backups = new Set(backupId ? [backupId] : []);
    const { message, hint } = known;
    this.#noted.set(name, { kind, object: name, message, hint, backups });
  }

  /** Says that a backup needs the object, if there is a finding about it. */
  addBackup(object: string, backupId: BackupId): void {
    this.#noted.get(object)?.backups.add(backupId);
  }

  /**
   * The findings, with the backups that still exist. What only deleted backups needed is no
   * finding; a key, or archived log, is one for itself.
   */
  list(existing: ReadonlySet<BackupId>): readonly CheckFinding[] {
    return [...this.#noted.values()].flatMap(({ backups, ...finding }) => {
      const backupIds = [...backups].filter((id) => existing.has(id)).sort();
      const stands = backupIds.length > 0 || standsAlone.test(finding.object);
      const moreBackups = Math.max(0, backupIds.length - backupsMax);
      return stands ? [{ ...finding, backupIds: backupIds.slice(0, backupsMax), moreBackups }] : [];
    });
  }
}

function kindOf(error: CairnError): CheckFinding['kind'] | null {
  if (error.kind === 'storage-unavailable') return 'unreadable';
  if (error.kind !== 'repository-damaged') return null;
  return error.details['newerFormat'] === true ? 'unreadable' : 'damaged';
}
