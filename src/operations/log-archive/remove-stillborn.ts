import type { JobContext } from '../../jobs/job-kind.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { WorkerParts } from '../worker-parts.ts';

/**
 * Removes what an attempt has left that died between the record of its stream and the row: records
 * that the catalog does not know and that have no log. A stream with log stays, whoever knows it.
 * @throws storage-unavailable, conflict when the lease is lost
 */
export async function removeStillborn(
  instanceId: InstanceId,
  context: JobContext,
  { catalog, repository }: Pick<WorkerParts, 'catalog' | 'repository'>,
): Promise<void> {
  const { signal, log } = context;
  const assertLease = (): Promise<void> => context.assertLease();
  try {
    const stored = await repository.log.listStreams(instanceId, signal);
    const known = new Set((await catalog.logStreams.list(instanceId)).map(({ id }) => id));
    for (const { streamId } of stored.filter((one) => !known.has(one.streamId))) {
      const survey = await repository.log.surveyStream(instanceId, streamId, signal);
      if (survey.pieces.length + survey.intervals.length > 0) continue;
      await repository.log.removeBefore(instanceId, streamId, null, { assertLease, signal });
      log.info({ streamId }, 'a stream of log that never began was removed');
    }
  } catch (error) {
    // An old stream that is damaged keeps no new one from its begin.
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    log.warn({ err: error, instanceId }, 'streams of log that never began were not looked for');
  }
}
