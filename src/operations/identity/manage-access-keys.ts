// Access keys: users have their own; owners of the domain may make and remove them for everybody.
import type { AccessKey, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { UserId } from '../../model/ids.ts';
import { Secret } from '../../model/secret.ts';
import type { Random } from '../../platform/random.ts';
import type { RequestParts } from '../parts.ts';
import { requireUser } from './manage-users.ts';
import { findRole, requireSelfOrOwner } from './roles.ts';

type KeyParts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

export function generateAccessKey(random: Random, userId: UserId, createdAt: Date): AccessKey {
  const accessKey = random.hex(10).toUpperCase();
  return { accessKey, secretKey: new Secret(random.hex(20)), userId, createdAt };
}

/** Oldest first. @throws forbidden, not-found */
export async function listAccessKeys(
  parts: KeyParts,
  asker: User,
  userId: string,
): Promise<readonly AccessKey[]> {
  await requireSelfOrOwner(parts, asker, userId);
  const user = await requireUser(parts.catalog, asker, userId);
  return await parts.catalog.identity.listAccessKeys(user.id);
}

/** The answer is the only place where the secret key is ever shown. @throws forbidden, not-found */
export async function createAccessKey(
  parts: KeyParts,
  asker: User,
  userId: string,
): Promise<AccessKey> {
  await requireSelfOrOwner(parts, asker, userId);
  const { catalog, clock, random, log } = parts;
  const user = await requireUser(catalog, asker, userId);
  const key = generateAccessKey(random, user.id, clock.now());
  await catalog.identity.insertAccessKey(key);
  log.info({ userId, accessKey: key.accessKey, by: asker.id }, 'access key made');
  return key;
}

/** @throws not-found, also for whoever may not know of it */
export async function deleteAccessKey(
  parts: KeyParts,
  asker: User,
  accessKey: string,
): Promise<void> {
  const key = await parts.catalog.identity.findAccessKey(accessKey);
  const user = key && (await parts.catalog.identity.findUser(key.userId));
  const isOwn = user?.id === asker.id;
  const mayRemove = isOwn || (await findRole(parts, asker, null)) === 'owner';
  if (!user || user.domainId !== asker.domainId || !mayRemove) throw unknownKey();
  await parts.catalog.identity.deleteAccessKey(accessKey);
  parts.log.info({ userId: user.id, accessKey, by: asker.id }, 'access key removed');
}

function unknownKey(): CairnError {
  return new CairnError('not-found', 'the access key does not exist', {
    reason: 'access-key-unknown',
  });
}
