// Decides, purely, which objects of an instance may go (rule 4): those that no manifest names, that
// belong to no backup in flight, and that were seen in that state at least the grace period ago. Of
// archived log, which no manifest names, only pieces go that a longer one has replaced.
// Storage tells no times, so somebody has to remember when an object was first seen unneeded.
import type { BackupId } from '../model/ids.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import { listReplaced } from './log-chain.ts';
import { parseLogObject } from './log-names.ts';

export type PruneInput = {
  /** Everything in the instance's folder but manifests. */
  readonly objects: readonly ObjectInfo[];
  /** Full names that manifests of the instance list. */
  readonly needed: ReadonlySet<string>;
  /** Backups that are being made, or will be: what they wrote is theirs. */
  readonly inFlight: ReadonlySet<BackupId>;
  /** When each object was first seen unneeded. */
  readonly firstSeen: ReadonlyMap<string, Date>;
  readonly now: Date;
  readonly graceMs: number;
};

export type PrunePlan = {
  /** May go now. */
  readonly remove: readonly ObjectInfo[];
  /** Unneeded, but not for long enough. */
  readonly wait: readonly ObjectInfo[];
  /** Named by a manifest, of a backup in flight, or archived log. */
  readonly keep: readonly ObjectInfo[];
  /** Not of a kind that backups write: never touched. */
  readonly foreign: readonly ObjectInfo[];
};

const prunable = /^instances\/[^/]+\/backups\/([^/]+)\/(?:packs|maps|checkpoints)\/./;

/** Times that lie in the future, after a clock was set back, count as now. */
export function planPrune(input: PruneInput): PrunePlan {
  const { needed, inFlight, firstSeen, graceMs } = input;
  const remove: ObjectInfo[] = [];
  const wait: ObjectInfo[] = [];
  const keep: ObjectInfo[] = [];
  const foreign: ObjectInfo[] = [];
  const replaced = listReplaced(input.objects);
  for (const object of input.objects) {
    const backupId = prunable.exec(object.name)?.[1];
    const isReplaced = replaced.has(object.name);
    if (backupId === undefined && !isReplaced) {
      (parseLogObject(object) ? keep : foreign).push(object);
    } else if (needed.has(object.name) || inFlight.has(backupId as BackupId)) {
      keep.push(object);
    } else {
      const seenAt = firstSeen.get(object.name);
      const isOld = seenAt !== undefined && input.now.getTime() - seenAt.getTime() >= graceMs;
      (isOld ? remove : wait).push(object);
    }
  }
  return { remove, wait, keep, foreign };
}
