import type { LogSource, LogSourceFile, Recovery } from '../../engines/engine.ts';
import type { Backup } from '../../model/backup.ts';
import { replayStart } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, LogStreamId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { RepositoryLog } from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { RequestedRecovery } from './recovery-payload.ts';

/** What was planned for the backup, with the log behind it; null when nothing was. */
export async function openRecovery(
  backup: Backup,
  requested: RequestedRecovery | null,
  { repository }: Pick<WorkerParts, 'repository'>,
  signal: AbortSignal,
): Promise<Recovery | null> {
  if (!requested) return null;
  const { log, ...recovery } = requested;
  if (!log) return { ...recovery, log };
  if (backup.state.status !== 'completed') {
    throw new CairnError('bug', `backup ${backup.id} is ${backup.state.status}`);
  }
  const startPosition = replayStart(backup.state);
  const { instanceId } = backup;
  const range = { instanceId, startPosition, endPosition: log.until, streamId: log.streamId };
  return { ...recovery, log: await openLogSource(repository.log, range, signal) };
}

export type LogRange = {
  readonly instanceId: InstanceId;
  readonly streamId: LogStreamId;
  /** From where on the log is replayed. */
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
};

/** @throws log-gap when the storage does not know the stream; storage errors */
export async function openLogSource(
  log: RepositoryLog,
  { instanceId, streamId, startPosition, endPosition }: LogRange,
  signal: AbortSignal,
): Promise<LogSource> {
  const streams = await log.listStreams(instanceId, signal);
  const record = streams.find((one) => one.streamId === streamId);
  if (!record) {
    throw new CairnError('log-gap', `the storage does not hold log stream ${streamId}`, {
      hint: 'restore to the end of a backup, or to another time',
    });
  }
  const { systemIdentifier } = record.facts;
  return {
    ...{ systemIdentifier, startPosition, endPosition },
    listFiles: async (listing) =>
      filesWithin(await log.listFiles(instanceId, streamId, listing), {
        ...{ startPosition, endPosition },
      }),
    readFile: (name, reading) => log.readFile(instanceId, streamId, name, reading),
    streamFile: (name, reading) => log.streamFile(instanceId, streamId, name, reading),
  };
}

/** Pure. From the last file that begins at the start or before it. */
export function filesWithin(
  files: readonly LogSourceFile[],
  { startPosition, endPosition }: Pick<LogRange, 'startPosition' | 'endPosition'>,
): readonly LogSourceFile[] {
  const first = files.findLastIndex((file) => {
    return compareLogPositions(file.startPosition, startPosition) <= 0;
  });
  return files.slice(Math.max(0, first)).filter((file) => {
    return compareLogPositions(file.startPosition, endPosition) < 0;
  });
}
