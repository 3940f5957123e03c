// Five failures in a row lock a login for fifteen minutes. They are counted in the catalog, so
// every process of a service sees them. A locked login is refused before anything is computed or
// written.
import { createHash } from 'node:crypto';
import type { Catalog } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { Clock } from '../../platform/clock.ts';

export const failuresMax = 5;
export const lockMs = 15 * 60 * 1000;

type LockParts = { readonly catalog: Pick<Catalog, 'identity'>; readonly clock: Clock };

/** Of one length whatever the caller sent: the catalog keeps nothing that it did not choose. */
export function loginKey(kind: 'user' | 'access-key', ...names: readonly string[]): string {
  const text = JSON.stringify(names);
  return `${kind}:${createHash('sha256').update(text).digest('hex')}`;
}

/**
 * Checks a login. `check` answers null when it is wrong.
 * @throws unauthenticated: locked, or `wrong`
 */
export async function guardLogin<T>(
  parts: LockParts,
  login: string,
  { check, wrong }: { readonly check: () => Promise<T | null>; readonly wrong: () => CairnError },
): Promise<T> {
  await assertUnlocked(parts, login);
  const result = await check();
  if (result === null) {
    const now = parts.clock.now();
    const since = new Date(now.getTime() - lockMs);
    await parts.catalog.identity.addLoginFailure(login, now, since);
    throw wrong();
  }
  // Whoever guesses many at a time must not be let in by one that was right after the lock fell.
  const hadFailures = await assertUnlocked(parts, login);
  if (hadFailures) await parts.catalog.identity.clearLoginFailures(login);
  return result;
}

/** Answers whether there were failures. */
async function assertUnlocked({ catalog, clock }: LockParts, login: string): Promise<boolean> {
  const failures = await catalog.identity.findLoginFailures(login);
  if (!failures) return false;
  // A failure noted by a clock that was far ahead must not lock anybody until then.
  const distanceMs = Math.abs(clock.now().getTime() - failures.lastFailedAt.getTime());
  if (failures.count < failuresMax || distanceMs >= lockMs) return true;
  throw new CairnError('unauthenticated', 'the login is locked after too many failures', {
    reason: 'login-locked',
    hint: 'wait for 15 minutes',
  });
}
