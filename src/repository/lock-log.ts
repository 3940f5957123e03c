// Locks archived log soon after it is stored. The daily round over all of an instance
// (`extend-locks.ts`) keeps it locked, and finds what somebody else has touched.
import type { ObjectVersion, Storage } from '../storage/storage.ts';
import { isDeleted, lockedPrefixes } from './lock-plan.ts';
import type { LogInterval } from './log-door.ts';
import type { LogPlace } from './log-names.ts';
import { intervalObject, logFileFolder, streamObject } from './log-names.ts';

/** What `LogStreamWriter.lockInterval` promises. */
export async function lockInterval(
  { lock }: Pick<Storage, 'lock'>,
  place: LogPlace,
  { sequence, files }: Pick<LogInterval, 'sequence' | 'files'>,
  signal: AbortSignal,
): Promise<number> {
  if (!lock) return 0;
  const prefixes = [
    ...lockedPrefixes(place.instanceId),
    streamObject(place),
    intervalObject(place, sequence),
    ...files.map((name) => logFileFolder(place, name)),
  ];
  const versions: ObjectVersion[] = [];
  for (const prefix of prefixes) {
    for await (const version of lock.listVersions(prefix, signal)) versions.push(version);
  }
  // A piece that was replaced costs its room no longer than it must.
  const byName = Map.groupBy(versions, ({ name }) => name);
  const needed = [...byName.values()].filter((all) => !isDeleted(all)).flat();
  return await lock.extend(needed, 'all', signal);
}
