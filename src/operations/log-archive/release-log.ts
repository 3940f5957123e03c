import type { EngineDriver } from '../../engines/engine.ts';
import { recordError } from '../../model/errors.ts';
import type { ReachableInstance } from '../../model/instance.ts';
import type { LogWarning } from '../../model/log-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { keeperNameOf } from './keeper-name.ts';

const tries = 3;
const restMs = 3_000;
const tryTimeoutMs = 30_000;

/**
 * Lets the server forget its log. What cannot be done (the server may be gone for good) must not
 * stop anything, but somebody has to know: answers, and says in the log, what is left to do there.
 */
export async function releaseLog(
  driver: EngineDriver,
  { id, name, connection }: Pick<ReachableInstance, 'id' | 'name' | 'connection'>,
  { clock, signal, log }: { readonly clock: Clock; readonly signal: AbortSignal; log: Logger },
): Promise<LogWarning | null> {
  const keeper = keeperNameOf(id);
  let last: unknown = null;
  for (let attempt = 1; attempt <= tries; attempt++) {
    try {
      await driver.releaseLog(connection, keeper, deadlineSignal(tryTimeoutMs, signal));
      return null;
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
    if (attempt < tries) await clock.sleep(restMs, signal);
  }
  const hint = driver.releaseLogByHand(keeper);
  const { message } = recordError(last);
  log.error({ err: last, instanceId: id, keeper, hint }, 'the server still keeps its log for us');
  return { message: `the server of ${name} still keeps its log for us: ${message}`, hint };
}
