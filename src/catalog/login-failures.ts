import { sql } from 'kysely';
import type { IdentityRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';

type LoginFailureRecords = Pick<
  IdentityRecords,
  'findLoginFailures' | 'addLoginFailure' | 'clearLoginFailures'
>;

export function loginFailureRecords({ db }: CatalogDatabase): LoginFailureRecords {
  return {
    async findLoginFailures(login) {
      const query = db.selectFrom('login_failures').selectAll().where('login', '=', login);
      const row = await query.executeTakeFirst();
      return row ? { count: row.failure_count, lastFailedAt: new Date(row.last_failed_at) } : null;
    },
    async addLoginFailure(login, at, since) {
      // Names come from whoever calls: without this the table would hold every name ever tried.
      await db.deleteFrom('login_failures').where('last_failed_at', '<', since.getTime()).execute();
      const row = await db
        .insertInto('login_failures')
        .values({ login, failure_count: 1, last_failed_at: at.getTime() })
        // One statement: of several failures at once none is lost.
        .onConflict((conflict) =>
          conflict.column('login').doUpdateSet({
            failure_count: sql<number>`login_failures.failure_count + 1`,
            last_failed_at: at.getTime(),
          }),
        )
        .returning('failure_count')
        .executeTakeFirstOrThrow();
      return row.failure_count;
    },
    async clearLoginFailures(login) {
      await db.deleteFrom('login_failures').where('login', '=', login).execute();
    },
  };
}
