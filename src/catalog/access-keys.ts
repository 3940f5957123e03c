import type { UserId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { AccessKey, IdentityRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';
import type { AccessKeyRow } from './schema.ts';
import { unwrapSecret, wrapSecret } from './wrapped-secret.ts';

type AccessKeyRecords = Pick<
  IdentityRecords,
  'findAccessKey' | 'listAccessKeys' | 'insertAccessKey' | 'deleteAccessKey'
>;

export function accessKeyRecords({ db }: CatalogDatabase, masterKey: MasterKey): AccessKeyRecords {
  return {
    async findAccessKey(accessKey) {
      const query = db.selectFrom('access_keys').selectAll().where('access_key', '=', accessKey);
      const row = await query.executeTakeFirst();
      return row ? toAccessKey(row, masterKey) : null;
    },
    async listAccessKeys(userId) {
      const query = db.selectFrom('access_keys').selectAll().where('user_id', '=', userId);
      const rows = await query.orderBy('created_at').orderBy('access_key').execute();
      return rows.map((row) => toAccessKey(row, masterKey));
    },
    async insertAccessKey({ accessKey, secretKey, userId, createdAt }) {
      const wrapped = wrapSecret(masterKey, secretKey, secretKeyPurpose(accessKey));
      await db
        .insertInto('access_keys')
        .values({
          access_key: accessKey,
          wrapped_secret_key: wrapped,
          user_id: userId,
          created_at: createdAt.getTime(),
        })
        .execute();
    },
    async deleteAccessKey(accessKey) {
      await db.deleteFrom('access_keys').where('access_key', '=', accessKey).execute();
    },
  };
}

export function secretKeyPurpose(accessKey: string): string {
  return `secret key of access key ${accessKey}`;
}

function toAccessKey(row: AccessKeyRow, masterKey: MasterKey): AccessKey {
  const purpose = secretKeyPurpose(row.access_key);
  return {
    accessKey: row.access_key,
    secretKey: unwrapSecret(masterKey, row.wrapped_secret_key, purpose),
    userId: row.user_id as UserId,
    createdAt: new Date(row.created_at),
  };
}
