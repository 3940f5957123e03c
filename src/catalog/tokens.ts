import type { ProjectId, UserId } from '../model/ids.ts';
import type { IdentityRecords, Token } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';
import { toUser } from './identity-rows.ts';
import type { TokenRow } from './schema.ts';

type TokenRecords = Pick<
  IdentityRecords,
  'findToken' | 'insertToken' | 'deleteToken' | 'deleteTokens' | 'deleteExpiredTokens'
>;

export function tokenRecords({ db }: CatalogDatabase): TokenRecords {
  return {
    async findToken(hash) {
      const row = await db
        .selectFrom('tokens')
        .innerJoin('users', 'users.id', 'tokens.user_id')
        .selectAll()
        .where('hash', '=', hash)
        .executeTakeFirst();
      return row ? { token: toToken(row), user: toUser(row) } : null;
    },
    async insertToken(token) {
      const row: TokenRow = {
        hash: token.hash,
        user_id: token.userId,
        project_id: token.projectId,
        issued_at: token.issuedAt.getTime(),
        expires_at: token.expiresAt.getTime(),
      };
      await db.insertInto('tokens').values(row).execute();
    },
    async deleteToken(hash) {
      await db.deleteFrom('tokens').where('hash', '=', hash).execute();
    },
    async deleteTokens(userId) {
      await db.deleteFrom('tokens').where('user_id', '=', userId).execute();
    },
    async deleteExpiredTokens(now) {
      await db.deleteFrom('tokens').where('expires_at', '<=', now.getTime()).execute();
    },
  };
}

function toToken(row: TokenRow): Token {
  return {
    hash: row.hash,
    userId: row.user_id as UserId,
    projectId: row.project_id as ProjectId | null,
    issuedAt: new Date(row.issued_at),
    expiresAt: new Date(row.expires_at),
  };
}
