// What the catalog knows that recoveries are planned with: the full backups and the streams of one
// instance. Closed intervals are not read, however many there are: a stream says how far it goes.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { replayStart, wholeBackupTypes } from '../../model/backup.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { LogStream } from '../../model/log-stream.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RecoveryBackup, RecoveryFacts, RecoveryStream } from './recovery-plan.ts';

export type InstanceQuery = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
};

const pageLimit = 500;
/** Older full backups of a type than so many are not offered by time; by their id they are. */
const backupsMax = 10_000;

/**
 * Also of an instance that is gone and has left backups. @throws not-found for one that is gone
 * without any
 */
export async function findRecoveryFacts(
  catalog: CatalogSession,
  query: InstanceQuery,
): Promise<RecoveryFacts> {
  const backups = [];
  for (const type of wholeBackupTypes) {
    const filter = { ...query, status: 'completed', isWholeServer: true, type } as const;
    for (let offset = 0; offset < backupsMax; offset += pageLimit) {
      const { items } = await catalog.backups.list(filter, { offset, limit: pageLimit });
      backups.push(...items.flatMap(toRecoveryBackup));
      if (items.length < pageLimit) break;
    }
  }
  if (backups.length === 0) await getInstance(catalog, query.projectId, query.instanceId);
  const streams = await catalog.logStreams.list(query.instanceId);
  const own = streams.filter(({ projectId }) => projectId === query.projectId);
  return { backups, streams: own.flatMap(toRecoveryStream) };
}

/** Completed full backups of the whole server only: no log goes on from an exported database. */
export function toRecoveryBackup({
  id,
  type,
  databases,
  state,
}: Pick<Backup, 'id' | 'type' | 'databases' | 'state'>): RecoveryBackup[] {
  if (databases.length > 0) return [];
  if (state.status !== 'completed' || type === 'incremental') return [];
  const { endedAt, stopPosition } = state;
  return [{ id, endedAt, stopPosition, replayFrom: replayStart(state), systemIdentifier: null }];
}

/** One of which nothing is stored yet leads nowhere. */
function toRecoveryStream(stream: LogStream): RecoveryStream[] {
  const { id, systemIdentifier, beganAt, keptFrom, state } = stream;
  const { covered } = stream.progress;
  const endedAt = state.status === 'ended' ? state.endedAt : null;
  return covered ? [{ id, systemIdentifier, beganAt, endedAt, keptFrom, covered }] : [];
}

/** The highest number of a timeline that anything of the instance lies on. */
export function newestTimeline({ backups, streams }: RecoveryFacts): number {
  const positions: LogPosition[] = [
    ...backups.map(({ stopPosition }) => stopPosition),
    ...streams.map(({ covered }) => covered.position),
  ];
  return positions.reduce((newest, position) => {
    return position.engine === 'postgresql' ? Math.max(newest, position.timeline) : newest;
  }, 1);
}
