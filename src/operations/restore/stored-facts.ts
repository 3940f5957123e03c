// What the repository alone knows that recoveries are planned with; `recovery-facts.ts` asks the
// catalog instead. A stream has ended when the next one of the instance began.
import { replayStart } from '../../model/backup.ts';
import type { InstanceId } from '../../model/ids.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { LogPoint } from '../../model/log-stream.ts';
import type { LogStreamSurvey, Repository } from '../../repository/repository.ts';
import type { RecoveryBackup, RecoveryFacts, RecoveryStream } from './recovery-plan.ts';

/** Only the newest interval is read: its end, or a piece behind it, says how far a stream goes. */
const newestOnly = Number.MAX_SAFE_INTEGER;

/** @throws storage-unavailable, repository-damaged */
export async function readStoredFacts(
  repository: Repository,
  instanceId: InstanceId,
  signal: AbortSignal,
): Promise<RecoveryFacts> {
  const backups: RecoveryBackup[] = [];
  for await (const found of repository.readBackups(instanceId, signal)) {
    // One that cannot be read cannot be restored either.
    if (found.error) continue;
    const { backupId: id, facts } = found.stored;
    // No log goes on from the export of a database.
    if (facts.backup.databases.length > 0) continue;
    const { stopPosition, systemIdentifier } = facts.base;
    const { endedAt } = facts.backup;
    const replayFrom = replayStart(facts.base);
    backups.push({ id, endedAt, stopPosition, replayFrom, systemIdentifier });
  }
  const records = await repository.log.listStreams(instanceId, signal);
  const streams: RecoveryStream[] = [];
  for (const [index, { streamId }] of records.entries()) {
    const survey = await repository.log.surveyStream(instanceId, streamId, signal, newestOnly);
    const endedAt = records[index + 1]?.beganAt ?? null;
    streams.push(...toRecoveryStream(survey, endedAt));
  }
  return { backups, streams };
}

/** Pure. Empty when nothing of the stream is stored. */
export function toRecoveryStream(
  { record, pieces, intervals }: LogStreamSurvey,
  endedAt: Date | null,
): RecoveryStream[] {
  const logs = pieces.filter(({ file }) => file.kind === 'log');
  const [first] = logs;
  const points: LogPoint[] = intervals.map(({ endPosition: position, endAt: at }) => ({
    position,
    at,
  }));
  for (const { endPosition: position, endAt: at } of logs) if (at) points.push({ position, at });
  const covered = points.reduce<LogPoint | null>((a, b) => {
    return a && compareLogPositions(a.position, b.position) >= 0 ? a : b;
  }, null);
  if (!first || !covered) return [];
  const { streamId: id, beganAt, facts } = record;
  const { systemIdentifier } = facts;
  const keptFrom = first.file.startPosition;
  return [{ id, systemIdentifier, beganAt, endedAt, keptFrom, covered }];
}
