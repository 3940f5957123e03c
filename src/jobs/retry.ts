import type { JobOutcome } from '../catalog/catalog.ts';
import type { CairnError, ErrorKind, RecordedError } from '../model/errors.ts';
import { recordError } from '../model/errors.ts';
import type { Job } from '../model/job.ts';

export type FailedOutcome = Exclude<JobOutcome, { status: 'succeeded' }>;

/** How an attempt ends; `give-back` is the only one that does not count as an attempt. */
export type Ending =
  | { readonly kind: 'succeed' }
  | { readonly kind: 'retry'; readonly error: RecordedError }
  | { readonly kind: 'give-back' }
  | { readonly kind: 'fail'; readonly outcome: FailedOutcome };

export type RetryFacts = Pick<Job, 'attempt' | 'attemptsMax' | 'cancelRequested'>;

/**
 * What may be over in a moment. Everything else would only fail again, later and with more load.
 */
const passingKinds: readonly ErrorKind[] = ['engine-unreachable', 'storage-unavailable'];

/**
 * What becomes of a job whose attempt threw. A job ends as cancelled only when somebody asked for
 * it: a time limit inside the job also speaks of cancelling, and that is a failure.
 */
export function planRetry(job: RetryFacts, error: CairnError): Ending {
  const recorded = recordError(error);
  if (job.cancelRequested) {
    return { kind: 'fail', outcome: { status: 'cancelled', error: cancelledByUser } };
  }
  if (passingKinds.includes(error.kind) && job.attempt < job.attemptsMax) {
    return { kind: 'retry', error: recorded };
  }
  return { kind: 'fail', outcome: { status: 'failed', error: recorded } };
}

/** What becomes of a job whose worker is gone. */
export function planAbandoned(job: RetryFacts): Ending {
  if (job.cancelRequested) {
    return { kind: 'fail', outcome: { status: 'cancelled', error: cancelledByUser } };
  }
  const error: RecordedError = {
    kind: 'conflict',
    message: `worker stopped while the job ran (attempt ${job.attempt} of ${job.attemptsMax})`,
    hint: 'the log of the worker may say why: a crash, a kill for memory, a lost database',
  };
  if (job.attempt < job.attemptsMax) return { kind: 'retry', error };
  return { kind: 'fail', outcome: { status: 'failed', error } };
}

export const cancelledByUser: RecordedError = {
  kind: 'cancelled',
  message: 'cancelled on request',
  hint: null,
};
