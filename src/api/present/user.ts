import type { AccessKey, Grant } from '../../catalog/catalog.ts';
import type { UserWithGrants } from '../../operations/identity/manage-users.ts';
import type {
  AccessKeyWire,
  CreateAccessKeyResponse,
  GrantWire,
  UserWire,
} from '../schema/user.ts';
import { formatWireTime } from '../wire-time.ts';

export function presentUser({ user, grants }: UserWithGrants): UserWire {
  const { id, name, createdAt } = user;
  return { id, name, created: formatWireTime(createdAt), grants: presentGrants(grants) };
}

export function presentGrants(grants: readonly Grant[]): GrantWire[] {
  return grants.map(({ projectId, role }) => ({ project_id: projectId, role }));
}

export function presentAccessKey({ accessKey, userId, createdAt }: AccessKey): AccessKeyWire {
  return { access_key: accessKey, user_id: userId, created: formatWireTime(createdAt) };
}

/** The only answer with the secret key in it. */
export function presentNewAccessKey(key: AccessKey): CreateAccessKeyResponse {
  return { ...presentAccessKey(key), secret_key: key.secretKey.reveal() };
}
