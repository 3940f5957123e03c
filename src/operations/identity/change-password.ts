import type { User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import type { RequestParts } from '../parts.ts';
import { userLogin } from './issue-token.ts';
import { guardLogin } from './lock-out.ts';
import { requireUser } from './manage-users.ts';
import { assertStrongPassword, hashPassword, isPassword } from './passwords.ts';
import { requireSelfOrOwner } from './roles.ts';

export type PasswordChange = {
  readonly password: Secret;
  /** Needed for one's own: whoever finds an open session must not be able to take the account. */
  readonly currentPassword: Secret | null;
};

/**
 * Ends all tokens of the user, and the lock of the login. Access keys stay: they have secrets of
 * their own.
 * @throws forbidden, not-found; invalid for a weak password; forbidden for a wrong current one
 */
export async function changePassword(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>,
  asker: User,
  id: string,
  { password, currentPassword }: PasswordChange,
): Promise<void> {
  await requireSelfOrOwner(parts, asker, id);
  const { catalog, random, log } = parts;
  const user = await requireUser(catalog, asker, id);
  assertStrongPassword(password, user.name);
  if (user.id === asker.id) {
    const given = currentPassword ?? new Secret('');
    const check = async () => (await isPassword(given, user.passwordHash)) || null;
    await guardLogin(parts, userLogin(user.id), { check, wrong: wrongPassword });
  }
  const passwordHash = await hashPassword(password, random);
  await catalog.transaction(async (tx) => {
    await requireUser(tx, asker, id);
    await tx.identity.setPasswordHash(user.id, passwordHash);
    await tx.identity.deleteTokens(user.id);
    await tx.identity.clearLoginFailures(userLogin(user.id));
  });
  log.info({ userId: user.id, by: asker.id }, 'password changed');
}

/** Not `unauthenticated`: the login is right, and clients would log in again and repeat. */
function wrongPassword(): CairnError {
  return new CairnError('forbidden', 'the current password is wrong', {
    hint: 'send it as current_password',
  });
}
