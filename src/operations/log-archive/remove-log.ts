import type { CatalogSession } from '../../catalog/catalog.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { LogStreamId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { releaseLog } from './release-log.ts';

const rowsPerBatch = 500;

/** With its instance: its server forgets what it keeps for us, as far as it can be reached. */
export async function removeLog(
  instance: Instance,
  context: JobContext,
  { catalog, engines, repository, clock }: WorkerParts,
): Promise<void> {
  const { signal, log } = context;
  const { connection, managed } = instance;
  const streams = await catalog.logStreams.list(instance.id);
  // A server of our own is gone by now.
  if (streams.length > 0 && connection && !managed) {
    const driver = driverFor(engines, instance.engine);
    await releaseLog(driver, { ...instance, connection }, { clock, signal, log });
  }
  // Also of a stream that an attempt had begun and the catalog was not told of.
  const stored = await repository.log.listStreams(instance.id, signal);
  const ids = [...stored.map(({ streamId }) => streamId), ...streams.map(({ id }) => id)];
  for (const id of new Set(ids)) await removeStream({ instance, id }, context, { repository });
}

/** From the storage, then from the catalog: gone is said only of what is gone. */
export async function removeStream(
  { instance, id }: { readonly instance: Pick<Instance, 'id'>; readonly id: LogStreamId },
  context: JobContext,
  { repository }: Pick<WorkerParts, 'repository'>,
): Promise<void> {
  const { signal } = context;
  const assertLease = (): Promise<void> => context.assertLease();
  const { freedBytes } = await repository.log.removeBefore(instance.id, id, null, {
    ...{ assertLease, signal },
  });
  await deleteRows(context, id, null);
  await context.commit((tx) => tx.logStreams.delete(id));
  context.log.info({ streamId: id, freedBytes }, 'archived log removed');
}

/** Rows of intervals that end at the position or before; null: all. */
export async function deleteRows(
  context: JobContext,
  id: LogStreamId,
  position: LogPosition | null,
): Promise<void> {
  const deleteSome = async (tx: CatalogSession): Promise<boolean> => {
    const rows = await tx.intervals.list(id, rowsPerBatch);
    const gone = rows.filter(({ state }) => {
      if (position === null || state.status !== 'completed') return true;
      return compareLogPositions(state.stopPosition, position) <= 0;
    });
    await tx.intervals.delete(
      id,
      gone.map((row) => row.id),
    );
    return gone.length === rowsPerBatch;
  };
  while (await context.commit(deleteSome)) context.signal.throwIfAborted();
}
