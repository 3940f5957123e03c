// Objects in the folder of one backup that its manifest does not name: packs and maps of attempts
// that died, and checkpoints. They are of use to the next attempt only.
import type { Logger } from '../platform/logger.ts';
import type { Storage } from '../storage/storage.ts';
import { isPresent } from './object-presence.ts';

const batchSize = 50;
const tidyMs = 60_000;

type AttemptParts = {
  readonly storage: Storage;
  /** Of the backup, with the last `/`. */
  readonly folder: string;
  readonly log: Logger;
};

/**
 * Deletes what is in the folder but for the manifest and the names to keep. `assertLease` runs
 * before each batch. @throws storage errors and what `assertLease` throws; safe to repeat
 */
export async function removeLeftovers(parts: {
  readonly storage: Storage;
  /** Of one backup, with the last `/`. */
  readonly folder: string;
  readonly keep: ReadonlySet<string>;
  readonly assertLease: () => Promise<void>;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { storage, folder, keep, signal } = parts;
  const names: string[] = [];
  for await (const { name } of storage.list(folder, signal)) {
    if (name !== `${folder}manifest` && !keep.has(name)) names.push(name);
  }
  for (let at = 0; at < names.length; at += batchSize) {
    await parts.assertLease();
    for (const name of names.slice(at, at + batchSize)) await storage.delete(name, signal);
  }
}

/** Deletes what an attempt without a commit has stored, unless the backup is there. Best effort. */
export async function forgetAttempt(
  { storage, folder, log }: AttemptParts,
  remove: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const signal = AbortSignal.timeout(tidyMs);
  try {
    // An attempt that lost its lease after the manifest was written must not take the packs away
    // from it.
    if (!(await isPresent(storage, `${folder}manifest`, signal))) await remove(signal);
  } catch (err) {
    log.warn({ err }, 'could not delete the packs of a backup that was given up');
  }
}

/** Deletes what a backup that is committed does not name. Best effort: a prune gets the rest. */
export async function tidyCommitted(
  parts: Parameters<typeof removeLeftovers>[0] & { readonly log: Logger },
): Promise<void> {
  const signal = AbortSignal.any([parts.signal, AbortSignal.timeout(tidyMs)]);
  try {
    await removeLeftovers({ ...parts, signal });
  } catch (err) {
    parts.log.warn({ err }, 'could not delete what earlier attempts have left');
  }
}
