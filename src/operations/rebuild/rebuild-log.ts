// Streams of log and their intervals, as the storage tells them. None goes on: whether the server
// still keeps what follows nobody knows. So each counts as ended by a gap, and nothing of it is
// deleted before somebody sets a policy.
import type { Catalog } from '../../catalog/catalog.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { InstanceId, LogStreamId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import type { LogStream } from '../../model/log-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idSource } from '../../platform/random.ts';
import type { LogStreamSurvey, Repository } from '../../repository/repository.ts';
import { insertInterval } from '../log-archive/interval-backup.ts';

type Parts = {
  readonly catalog: Catalog;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly random: Random;
};

export type RebuiltLog = {
  readonly streams: number;
  readonly unreadable: ReadonlyArray<{ readonly streamId: LogStreamId; readonly message: string }>;
};

/** The instance is in the catalog by now. Streams that are known stay as they are. */
export async function rebuildLog(
  parts: Parts,
  instanceId: InstanceId,
  signal: AbortSignal,
): Promise<RebuiltLog> {
  const { catalog, repository } = parts;
  const known = new Set((await catalog.logStreams.list(instanceId)).map(({ id }) => id));
  const unreadable: { streamId: LogStreamId; message: string }[] = [];
  let streams = 0;
  for (const { streamId } of await repository.log.listStreams(instanceId, signal)) {
    if (known.has(streamId)) continue;
    try {
      const survey = await repository.log.surveyStream(instanceId, streamId, signal);
      await insertStream(parts, survey);
      streams++;
    } catch (error) {
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      unreadable.push({ streamId, message: error.message });
    }
  }
  return { streams, unreadable };
}

async function insertStream({ catalog, clock, random }: Parts, survey: LogStreamSurvey) {
  const stream = streamOf(survey, clock.now());
  // Its own is not known any more.
  const jobId = newJobId(idSource(random));
  await catalog.transaction(async (tx) => {
    await tx.logStreams.insert(stream);
    const { record } = survey;
    for (const interval of survey.intervals) await insertInterval(tx, { record, interval, jobId });
  });
}

function streamOf({ record, pieces, intervals }: LogStreamSurvey, now: Date): LogStream {
  const { streamId, projectId, instanceId, engine, beganAt, facts } = record;
  const { systemIdentifier, startPosition } = facts;
  const logs = pieces.filter(({ file }) => file.kind === 'log');
  const last = logs.at(-1);
  const closed = intervals.at(-1);
  return {
    id: streamId,
    ...{ projectId, instanceId, engine, systemIdentifier, startPosition, beganAt },
    keptFrom: logs[0]?.file.startPosition ?? startPosition,
    state: { status: 'ended', cause: 'gap', endedAt: now, reason: 'the catalog was rebuilt' },
    progress: {
      covered: last ? { position: last.endPosition, at: laterOf(last.endAt, closed?.endAt) } : null,
      closed: closed
        ? { sequence: closed.sequence, position: closed.endPosition, at: closed.endAt }
        : null,
      ...{ behindBytes: null, warning: null, trouble: null },
    },
    updatedAt: now,
  };
}

function laterOf(a: Date, b: Date | undefined): Date {
  return b && b > a ? b : a;
}
