// Requests that are tried again: exponential backoff with full jitter, a limit for each attempt and
// a deadline for all of them. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
// 2015.)
import type { Clock } from '../platform/clock.ts';
import { untilAborted } from '../platform/deadline.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';
import { classifyFailure, isPassing, S3Refusal } from './s3-failure.ts';

export type Patience = {
  /** For one request, without the time that its bytes need. */
  readonly attemptMs: number;
  /** For one operation with all its attempts. */
  readonly operationMs: number;
  readonly pauseMinMs: number;
  readonly pauseMaxMs: number;
};

/** Long enough for a gateway that is restarted in the middle of a backup. */
export const usualPatience: Patience = {
  attemptMs: 30_000,
  operationMs: 120_000,
  pauseMinMs: 100,
  pauseMaxMs: 10_000,
};

/** A line slower than this fails: 64 KiB per second. */
const bytesPerMs = 64;
/** A passing trouble of seconds is nothing to report. */
const attemptsBeforeWarning = 4;

export type RetryParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly patience: Patience;
};

/**
 * Runs the work until it succeeds, fails for good, or the deadline has passed: then the last error
 * is thrown. The signal that the work gets fires when its attempt has taken too long, and with the
 * caller's. @throws the reason of the caller's signal; what the work throws
 */
export async function retrying<T>(
  parts: RetryParts,
  request: { readonly what: string; readonly sizeBytes: number; readonly signal: AbortSignal },
  work: (signal: AbortSignal, attempt: number) => Promise<T>,
): Promise<T> {
  const { clock, patience, log } = parts;
  const { what, signal } = request;
  const transferMs = request.sizeBytes / bytesPerMs;
  const deadlineMs = clock.monotonicMs() + patience.operationMs + transferMs;
  signal.throwIfAborted();
  const attemptMs = patience.attemptMs + transferMs;
  let trouble: unknown = null;
  for (let attempt = 1; ; attempt++) {
    const leftMs = deadlineMs - clock.monotonicMs();
    try {
      const limitMs = Math.max(1, Math.min(attemptMs, leftMs));
      return await withLimit(signal, limitMs, (limited) => work(limited, attempt));
    } catch (error) {
      if (signal.aborted) throw reasonOf(signal, trouble);
      // An attempt that the deadline has cut tells less than the ones before it.
      if (trouble === null || leftMs >= attemptMs || !isOwnLimit(error)) trouble = error;
    }
    const pauseMs = planPause(patience, attempt, parts.random);
    const isLate = clock.monotonicMs() + pauseMs >= deadlineMs;
    if (isLate || !mayRepeat(trouble, attempt)) throw trouble;
    if (attempt === attemptsBeforeWarning) {
      log.warn({ what, failure: classifyFailure(trouble) }, 'storage does not answer: trying on');
    }
    await clock.sleep(pauseMs, signal).catch(() => {
      throw reasonOf(signal, trouble);
    });
  }
}

function isOwnLimit(error: unknown): boolean {
  return classifyFailure(error) === 'silent';
}

/** The SDK sets its clock by the answer, so a skewed clock is worth a second try. */
function mayRepeat(error: unknown, attempt: number): boolean {
  return isPassing(error) || (classifyFailure(error) === 'skew' && attempt === 1);
}

/** Anything from the shortest pause up to a ceiling that doubles. */
export function planPause(patience: Patience, attempt: number, random: Random): number {
  const { pauseMinMs, pauseMaxMs } = patience;
  const ceilingMs = Math.min(pauseMaxMs, pauseMinMs * 2 ** Math.min(attempt, 20));
  const share = random.bytes(4).readUInt32BE() / 2 ** 32;
  return pauseMinMs + share * (ceilingMs - pauseMinMs);
}

/** A caller's time limit is no wish to stop: it ends as the trouble that used up the time. */
function reasonOf(signal: AbortSignal, trouble: unknown): unknown {
  const isTimeLimit = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  if (!isTimeLimit) return signal.reason;
  return trouble ?? new S3Refusal('silent', 'no answer in time');
}

async function withLimit<T>(
  signal: AbortSignal,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limited = new AbortController();
  const onAbort = (): void => limited.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(
    () => limited.abort(new S3Refusal('silent', 'no answer in time')),
    limitMs,
  );
  try {
    // The search for credentials knows no signal.
    return await untilAborted(work(limited.signal), limited.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
