// Deletes what nothing needs any more: leftovers of attempts that died, and packs of deleted
// backups that later ones used for a while. The caller holds the instance's exclusive lease.
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import type { KeyRing } from './keys.ts';
import { listReplaced } from './log-chain.ts';
import { NeededObjects } from './needed-objects.ts';
import type { PruneInput, PrunePlan } from './prune-plan.ts';
import { planPrune } from './prune-plan.ts';

const batchSize = 500;
const archivedLog = /^instances\/[^/]+\/log\//;

/** What the caller knows and the storage does not. */
export type PruneKnowledge = Pick<PruneInput, 'inFlight' | 'firstSeen' | 'now' | 'graceMs'>;

export type PruneSurvey = PrunePlan & {
  /** Backups that have a manifest. */
  readonly backupIds: readonly BackupId[];
};

type Parts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly instanceId: InstanceId;
  readonly signal: AbortSignal;
};

/**
 * Looks at everything that an instance has in the storage; changes nothing.
 * @throws repository-damaged naming a manifest that cannot be read; storage-unavailable
 */
export async function surveyInstance(
  parts: Parts & { readonly knowledge: PruneKnowledge },
): Promise<PruneSurvey> {
  const needed = new NeededObjects(parts);
  const objects = await needed.read(parts.signal);
  const backupIds = [...needed.manifests].map((name) => name.split('/')[3] as BackupId);
  return { ...planPrune({ ...parts.knowledge, objects, needed: needed.names }), backupIds };
}

/**
 * Deletes the objects in batches. Before each, the lease is checked and the references are read
 * again: what a manifest names by now stays. Safe to repeat.
 * @throws as `surveyInstance`, and what `assertLease` throws; what was deleted by then is gone
 */
export async function removeUnneeded(
  parts: Parts & {
    readonly objects: readonly ObjectInfo[];
    readonly assertLease: () => Promise<void>;
  },
): Promise<{ readonly removed: readonly ObjectInfo[] }> {
  const { storage, objects, signal } = parts;
  const needed = new NeededObjects(parts);
  const removed: ObjectInfo[] = [];
  for (let at = 0; at < objects.length; at += batchSize) {
    const replaced = listReplaced(await needed.read(signal));
    await parts.assertLease();
    for (const object of objects.slice(at, at + batchSize)) {
      if (needed.names.has(object.name)) continue;
      if (archivedLog.test(object.name) && !replaced.has(object.name)) continue;
      await storage.delete(object.name, signal);
      removed.push(object);
    }
  }
  return { removed };
}
