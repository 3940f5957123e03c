import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';
import { listOpenRestores } from '../restore/open-restores.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { DueTrim } from './find-trims.ts';
import { findTrims } from './find-trims.ts';
import { deleteRows, removeStream } from './remove-log.ts';

type Of = { readonly projectId: ProjectId; readonly instanceId: InstanceId };

/**
 * Deletes archived log that no time needs which is kept. The catalog is told first from where on
 * log is there, so that no restore counts on what is leaving; while one runs nothing goes.
 */
export async function runLogTrim(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { projectId, instanceId } = job;
  if (instanceId === null) throw new CairnError('bug', `job ${job.id} names no instance`);
  context.progress({ phase: 'deleting', doneBytes: 0, totalBytes: null });
  for (const due of await announce({ projectId, instanceId }, context, parts)) {
    await execute(due, instanceId, context, parts);
  }
}

/** Decided anew, in the transaction that tells it: the policy may have changed since. */
async function announce(
  of: Of,
  context: JobContext,
  { clock }: WorkerParts,
): Promise<readonly DueTrim[]> {
  return await context.commit(async (tx) => {
    const restores = await listOpenRestores(tx, of.projectId);
    if (restores.some(({ sourceInstanceId }) => sourceInstanceId === of.instanceId)) return [];
    await tx.instances.find(of.projectId, of.instanceId);
    const trims = await findTrims(tx, of, clock.now());
    for (const { stream, trim } of trims) {
      const end = stream.progress.covered?.position ?? stream.startPosition;
      await tx.logStreams.setKeptFrom(stream.id, trim.kind === 'all' ? end : trim.position);
    }
    return trims;
  });
}

async function execute(
  { stream, trim }: DueTrim,
  instanceId: InstanceId,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  if (trim.kind === 'all') {
    context.log.info({ streamId: stream.id, reason: trim.reason }, 'archived log is leaving');
    return await removeStream({ instance: { id: instanceId }, id: stream.id }, context, parts);
  }
  const { signal, log } = context;
  const assertLease = (): Promise<void> => context.assertLease();
  const { position } = trim;
  const { freedBytes } = await parts.repository.log.removeBefore(instanceId, stream.id, position, {
    ...{ assertLease, signal },
  });
  await deleteRows(context, stream.id, position);
  log.info({ streamId: stream.id, freedBytes }, 'archived log has expired');
}
