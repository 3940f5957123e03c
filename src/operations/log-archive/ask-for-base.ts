// A stream of log leads nowhere without a full backup that ends in it. Whoever begins a stream asks
// for one, and the scheduler asks again while none could be begun: the instance was busy, or the
// backup that ran when the stream began has failed.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { replayStart } from '../../model/backup.ts';
import type { Instance } from '../../model/instance.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { LogStream } from '../../model/log-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { acceptAutomatedBackup } from '../backup/automated-backup.ts';

type Parts = { readonly clock: Clock; readonly random: Random };

/**
 * Null when the stream has its backup, or was given one that failed (trying again is the policy's
 * business), or none can begin now. Call it in a transaction that has read the instance in it.
 */
export async function askForBase(
  tx: CatalogSession,
  parts: Parts,
  instance: Instance,
): Promise<Backup | null> {
  const streams = await tx.logStreams.list(instance.id);
  const [stream, previous] = streams.toReversed();
  if (stream?.state.status !== 'following' || !(await needsBase(tx, stream))) return null;
  const isGap = previous?.state.status === 'ended' && previous.state.cause === 'gap';
  return await acceptAutomatedBackup(tx, parts, instance, {
    namedAfter: parts.clock.now(),
    description: isGap ? 'after a gap in the archived log' : 'where the archived log begins',
  });
}

/** Whether no full backup leads into the stream, nor has been asked for since it began. */
export async function needsBase(
  { backups }: Pick<CatalogSession, 'backups'>,
  stream: Pick<LogStream, 'projectId' | 'instanceId' | 'beganAt' | 'startPosition'>,
): Promise<boolean> {
  const { projectId, instanceId, beganAt } = stream;
  const latest = await backups.findLatestCompleted(instanceId);
  if (latest && isBase(latest, stream)) return false;
  const since = { projectId, instanceId, type: 'auto', isWholeServer: true } as const;
  const filter = { ...since, startedFrom: beganAt };
  return (await backups.list(filter, { offset: 0, limit: 1 })).items.length === 0;
}

/** It ends in the stream; where databases have logs of their own, it lies in it. */
function isBase({ state }: Backup, { beganAt, startPosition }: Pick<LogStream, Needed>): boolean {
  if (state.status !== 'completed' || state.endedAt < beganAt) return false;
  const from = replayStart(state);
  return from === state.stopPosition || compareLogPositions(startPosition, from) <= 0;
}

type Needed = 'beganAt' | 'startPosition';
