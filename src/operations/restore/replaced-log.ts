import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Instance } from '../../model/instance.ts';

/**
 * The log of the server that was there goes on nowhere: that of the new one has left it somewhere
 * in the past, so it becomes a stream of its own.
 */
export async function endReplacedLog(
  tx: CatalogSession,
  { id }: Pick<Instance, 'id'>,
  endedAt: Date,
): Promise<void> {
  const stream = await tx.logStreams.findFollowing(id);
  if (!stream) return;
  const reason = 'the instance was restored to an earlier state';
  const state = { status: 'ended', cause: 'stopped', endedAt, reason } as const;
  await tx.logStreams.setState(stream.id, state, endedAt);
}
