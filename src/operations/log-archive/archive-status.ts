import type { CatalogSession } from '../../catalog/catalog.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { LogStream, LogTrouble } from '../../model/log-stream.ts';
import { jobKinds } from '../job-payloads.ts';
import { parseLogTrouble } from './log-trouble.ts';

/** What is known of archiving the log of an instance. */
export type LogArchiveStatus = {
  /** The newest; null: none has ever begun. */
  readonly stream: LogStream | null;
  /** A worker has it, or will have it. */
  readonly isAsked: boolean;
  readonly trouble: LogTrouble | null;
  /** The last stream that ended by a gap. */
  readonly lastGap: LogStream | null;
};

/** Null: its log was never archived, and nobody is about to. */
export async function findArchiveStatus(
  { logStreams, jobs }: CatalogSession,
  instanceId: InstanceId,
): Promise<LogArchiveStatus | null> {
  const streams = await logStreams.list(instanceId);
  const open = await jobs.listOpen(instanceId);
  const job = open.find(({ kind }) => kind === jobKinds.archiveLog);
  if (streams.length === 0 && !job) return null;
  const stream = streams.at(-1) ?? null;
  const isFollowing = stream?.state.status === 'following';
  // Before a stream has begun, the job is where it is told why.
  const told = isFollowing ? stream.progress.trouble : parseLogTrouble(job?.result ?? null);
  const gaps = streams.filter(({ state }) => state.status === 'ended' && state.cause === 'gap');
  return { stream, isAsked: job !== undefined, trouble: told, lastGap: gaps.at(-1) ?? null };
}
