// What others see of a second copy of the repository: `copy-repository.ts` makes it.
import type { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId, LogStreamId } from '../model/ids.ts';
import type { CopyRules } from './copy-plan.ts';
import type { LockReport } from './extend-locks.ts';
import type { StoredBackup } from './repository.ts';

export type { CopyRules } from './copy-plan.ts';

export type CopyOptions = CopyRules & {
  /** Called as bytes go; the total grows with every backup that is looked at. */
  readonly onProgress: (progress: {
    readonly doneBytes: number;
    readonly totalBytes: number;
  }) => void;
  /** Runs before each manifest and each batch of deletions. */
  readonly assertLease: () => Promise<void>;
  readonly signal: AbortSignal;
};

export type FailedCopy = { readonly backupId: BackupId; readonly error: CairnError };

/** A stream of archived log of which not everything could be copied. */
export type FailedLogCopy = { readonly streamId: LogStreamId; readonly error: CairnError };

export type CopyReport = {
  /** Backups that the copy did not have. */
  readonly copied: readonly BackupId[];
  /** Backups that were there; what of them was missing was copied again. */
  readonly present: number;
  /** Deleted at the source meanwhile. */
  readonly skipped: readonly BackupId[];
  readonly removed: readonly BackupId[];
  readonly failed: readonly FailedCopy[];
  readonly failedLog: readonly FailedLogCopy[];
  /** Written: packs and map objects, then also manifests, and archived log. */
  readonly objects: number;
  readonly bytes: number;
  /** Of the copy; null: its storage locks nothing. */
  readonly locks: LockReport | null;
};

/** What the copy lacks of one backup; empty lists: nothing. */
export type CopyGap = {
  readonly backupId: BackupId;
  /** One sentence for each object; at most 50. */
  readonly problems: readonly string[];
};

export type CopyComparison = {
  readonly backups: number;
  readonly objects: number;
  readonly gaps: readonly CopyGap[];
  /** Streams of archived log that are not whole in the copy; at most 50 problems of each. */
  readonly logGaps: ReadonlyArray<{
    readonly streamId: LogStreamId;
    readonly problems: readonly string[];
  }>;
  /** Backups that only the copy has. */
  readonly onlyInCopy: readonly BackupId[];
};

/** A repository and its copy in another storage. */
export interface RepositoryCopy {
  /** Of the copy. */
  readonly location: string;
  /**
   * Instances that the source, or the copy, has anything of. @throws storage-unavailable
   */
  listInstances(signal: AbortSignal): Promise<readonly InstanceId[]>;
  /** As a backup that can be read names it; null without one. @throws storage-unavailable */
  findName(instanceId: InstanceId, signal: AbortSignal): Promise<string | null>;
  /**
   * Copies the backups of an instance that the rules name: keys and objects first, durable, the
   * manifest last. What is there is not copied again. One backup that fails is told of and keeps
   * no other from being copied. Archived log follows, as far back as a backup of the copy can be
   * rolled forward with it. Then removes what the rules remove. Safe to repeat, and beside
   * backups and deletions at the source.
   * @throws conflict when the target is no copy of the source; storage errors; what `assertLease`
   *   throws
   */
  copyInstance(instanceId: InstanceId, options: CopyOptions): Promise<CopyReport>;
  /**
   * Compares manifests byte for byte, and every object that they name by size; looks whether the
   * copied log has no gap. The log may be behind the source's. Changes nothing.
   */
  compareInstance(
    instanceId: InstanceId,
    rules: Pick<CopyRules, 'keepSince'>,
    signal: AbortSignal,
  ): Promise<CopyComparison>;
  /**
   * Makes the copy open with the master keys that open the source, and with no others. Nothing
   * happens when that is so, or nothing was ever copied.
   * @throws conflict, repository-damaged, storage errors
   */
  copyMasterKeys(signal: AbortSignal): Promise<void>;
  /**
   * Backups that the copy really holds, newest first. None when nothing was ever copied.
   * @throws storage-unavailable, repository-damaged
   */
  listCopies(instanceId: InstanceId | null, signal: AbortSignal): Promise<readonly StoredBackup[]>;
}
