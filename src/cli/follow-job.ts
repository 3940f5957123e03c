import type { JobDetailResponse, JobDetailWire } from '../api/schema/job.ts';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Output } from './output.ts';
import type { ServiceClient } from './service-client.ts';

const pollMs = 300;

/** Waits for a job to end and shows its progress. @throws the error that the job ended with */
export async function followJob(
  service: ServiceClient,
  jobId: string,
  parts: { readonly output: Output; readonly clock: Clock },
): Promise<JobDetailWire> {
  const progress = parts.output.progress();
  try {
    for (;;) {
      const { job } = await service.cairn<JobDetailResponse>('GET', `/jobs/${jobId}`);
      const { phase, done_bytes, total_bytes, bytes_per_second } = job.progress ?? waiting;
      progress.update(phase, done_bytes, total_bytes, bytes_per_second);
      if (job.status === 'succeeded') return job;
      if (job.status === 'failed' || job.status === 'cancelled') throw toError(job);
      await parts.clock.sleep(pollMs);
    }
  } finally {
    progress.stop();
  }
}

const waiting = { phase: 'waiting', done_bytes: 0, total_bytes: null, bytes_per_second: 0 };

function toError({ error, status }: JobDetailWire): CairnError {
  if (!error) return new CairnError('cancelled', `the job ${status}`);
  return new CairnError(error.kind, error.message, error.hint === null ? {} : { hint: error.hint });
}
