import type { MasterKey } from '../platform/master-key.ts';
import { accessKeyRecords } from './access-keys.ts';
import type { IdentityRecords } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { grantRecords } from './grants.ts';
import { toProject, toUser } from './identity-rows.ts';
import { loginFailureRecords } from './login-failures.ts';
import { tokenRecords } from './tokens.ts';

type ProjectRecords = Pick<
  IdentityRecords,
  'findProject' | 'findProjectByName' | 'listProjects' | 'insertProject' | 'deleteProject'
>;
type UserRecords = Pick<
  IdentityRecords,
  'findUser' | 'findUserByName' | 'listUsers' | 'insertUser' | 'setPasswordHash' | 'deleteUser'
>;

export function identityRecords(database: CatalogDatabase, masterKey: MasterKey): IdentityRecords {
  return {
    ...projectRecords(database),
    ...userRecords(database),
    ...grantRecords(database),
    ...accessKeyRecords(database, masterKey),
    ...tokenRecords(database),
    ...loginFailureRecords(database),
  };
}

function projectRecords(database: CatalogDatabase): ProjectRecords {
  const { db } = database;
  return {
    async findProject(id) {
      const query = db.selectFrom('projects').selectAll().where('id', '=', id);
      const row = await query.executeTakeFirst();
      return row ? toProject(row) : null;
    },
    async findProjectByName(name) {
      const query = db.selectFrom('projects').selectAll().where('name', '=', name);
      const row = await query.executeTakeFirst();
      return row ? toProject(row) : null;
    },
    async listProjects() {
      const rows = await db.selectFrom('projects').selectAll().orderBy('name').execute();
      return rows.map(toProject);
    },
    async insertProject({ id, name, domainId }) {
      const insert = db.insertInto('projects').values({ id, name, domain_id: domainId });
      await explainConflict(insert.execute(), { projects_name: `project ${name} exists` });
    },
    async deleteProject(id) {
      await inTransaction(database, async ({ db: tx }) => {
        for (const table of [
          'grants',
          'tokens',
          'client_tokens',
          'tags',
          'policies',
          'backup_counts',
        ] as const) {
          await tx.deleteFrom(table).where('project_id', '=', id).execute();
        }
        await tx.deleteFrom('jobs').where('project_id', '=', id).execute();
        await tx.deleteFrom('projects').where('id', '=', id).execute();
      });
    },
  };
}

function userRecords(database: CatalogDatabase): UserRecords {
  const { db, traits } = database;
  return {
    async findUser(id) {
      const row = await db
        .selectFrom('users')
        .selectAll()
        .where('id', '=', id)
        .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
        .executeTakeFirst();
      return row ? toUser(row) : null;
    },
    async findUserByName(domainName, name) {
      const query = db
        .selectFrom('users')
        .selectAll()
        .where('domain_name', '=', domainName)
        .where('name', '=', name);
      const row = await query.executeTakeFirst();
      return row ? toUser(row) : null;
    },
    async listUsers(domainId) {
      const query = db.selectFrom('users').selectAll().where('domain_id', '=', domainId);
      const rows = await query.orderBy('name').execute();
      return rows.map(toUser);
    },
    async insertUser(user) {
      const insert = db.insertInto('users').values({
        id: user.id,
        name: user.name,
        domain_id: user.domainId,
        domain_name: user.domainName,
        password_hash: user.passwordHash,
        created_at: user.createdAt.getTime(),
      });
      const text = `user ${user.name} exists in domain ${user.domainName}`;
      await explainConflict(insert.execute(), { users_domain_name_name: text });
    },
    async setPasswordHash(id, passwordHash) {
      const update = db.updateTable('users').set({ password_hash: passwordHash });
      await update.where('id', '=', id).execute();
    },
    async deleteUser(id) {
      await inTransaction(database, async ({ db: tx }) => {
        for (const table of ['grants', 'tokens', 'access_keys'] as const) {
          await tx.deleteFrom(table).where('user_id', '=', id).execute();
        }
        await tx.deleteFrom('users').where('id', '=', id).execute();
      });
    },
  };
}
