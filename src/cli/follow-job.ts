import type { JobDetailResponse, JobDetailWire } from '../api/schema/job.ts';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { untilAborted } from '../platform/deadline.ts';
import type { Output } from './output.ts';
import type { ServiceClient } from './service-client.ts';

const pollMs = 300;

export type FollowParts = { readonly output: Output; readonly clock: Clock };

/** Waits for a job to end and shows its progress. @throws the error that the job ended with */
export async function followJob(
  service: ServiceClient,
  jobId: string,
  parts: FollowParts,
): Promise<JobDetailWire> {
  const job = await awaitEnd(service, jobId, parts);
  const failure = failureOf(job);
  if (failure) throw failure;
  return job;
}

/**
 * The job once it has ended, however that was. Ctrl-C ends the waiting, and a second one the
 * command at once. @throws cancelled after Ctrl-C: the job goes on
 */
export async function awaitEnd(
  service: ServiceClient,
  jobId: string,
  { output, clock }: FollowParts,
): Promise<JobDetailWire> {
  const progress = output.progress();
  const interrupt = new AbortController();
  const onInterrupt = (): void => interrupt.abort(interruptedError(jobId));
  process.once('SIGINT', onInterrupt);
  try {
    for (;;) {
      const asked = service.cairn<JobDetailResponse>('GET', `/jobs/${jobId}`);
      const { job } = await untilAborted(asked, interrupt.signal);
      const { phase, done_bytes, total_bytes, bytes_per_second } = job.progress ?? waiting;
      progress.update(phase, done_bytes, total_bytes, bytes_per_second);
      if (['succeeded', 'failed', 'cancelled'].includes(job.status)) return job;
      await clock.sleep(pollMs, interrupt.signal);
    }
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    progress.stop();
  }
}

const waiting = { phase: 'waiting', done_bytes: 0, total_bytes: null, bytes_per_second: 0 };

/** What a job that has ended failed with; null when it succeeded. */
export function failureOf({ error, status }: JobDetailWire): CairnError | null {
  if (status === 'succeeded') return null;
  if (!error) return new CairnError('cancelled', `the job ${status}`);
  return new CairnError(error.kind, error.message, error.hint === null ? {} : { hint: error.hint });
}

function interruptedError(jobId: string): CairnError {
  return new CairnError('cancelled', `the job goes on: cairn job show ${jobId}`, {
    hint: `end it with: cairn job cancel ${jobId}`,
  });
}
