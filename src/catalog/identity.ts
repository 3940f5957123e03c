import type { ProjectId, UserId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { AccessKey, IdentityRecords, Project, Token, User } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import type { AccessKeyRow, ProjectRow, TokenRow, UserRow } from './schema.ts';
import { unwrapSecret, wrapSecret } from './wrapped-secret.ts';

type Credentials = Pick<
  IdentityRecords,
  'findAccessKey' | 'insertAccessKey' | 'findToken' | 'insertToken' | 'deleteExpiredTokens'
>;

export function identityRecords(database: CatalogDatabase, masterKey: MasterKey): IdentityRecords {
  return { ...personRecords(database), ...credentialRecords(database, masterKey) };
}

function personRecords({ db }: CatalogDatabase): Omit<IdentityRecords, keyof Credentials> {
  return {
    async findProject(id) {
      const query = db.selectFrom('projects').selectAll().where('id', '=', id);
      return toProject(await query.executeTakeFirst());
    },
    async findProjectByName(name) {
      const query = db.selectFrom('projects').selectAll().where('name', '=', name);
      return toProject(await query.executeTakeFirst());
    },
    async listProjects() {
      const rows = await db.selectFrom('projects').selectAll().orderBy('name').execute();
      return rows.flatMap((row) => toProject(row) ?? []);
    },
    async insertProject({ id, name, domainId }) {
      const insert = db.insertInto('projects').values({ id, name, domain_id: domainId });
      await explainConflict(insert.execute(), { projects_name: `project ${name} exists` });
    },
    async findUser(id) {
      const query = db.selectFrom('users').selectAll().where('id', '=', id);
      return toUser(await query.executeTakeFirst());
    },
    async findUserByName(domainName, name) {
      const query = db
        .selectFrom('users')
        .selectAll()
        .where('domain_name', '=', domainName)
        .where('name', '=', name);
      return toUser(await query.executeTakeFirst());
    },
    async insertUser(user) {
      const insert = db.insertInto('users').values({
        id: user.id,
        name: user.name,
        domain_id: user.domainId,
        domain_name: user.domainName,
        password_hash: user.passwordHash,
      });
      const text = `user ${user.name} exists in domain ${user.domainName}`;
      await explainConflict(insert.execute(), { users_domain_name_name: text });
    },
  };
}

function credentialRecords({ db }: CatalogDatabase, masterKey: MasterKey): Credentials {
  return {
    async findAccessKey(accessKey) {
      const query = db.selectFrom('access_keys').selectAll().where('access_key', '=', accessKey);
      return toAccessKey(await query.executeTakeFirst(), masterKey);
    },
    async insertAccessKey({ accessKey, secretKey, userId }) {
      const wrapped = wrapSecret(masterKey, secretKey, secretKeyPurpose(accessKey));
      await db
        .insertInto('access_keys')
        .values({ access_key: accessKey, wrapped_secret_key: wrapped, user_id: userId })
        .execute();
    },
    async findToken(hash) {
      const query = db.selectFrom('tokens').selectAll().where('hash', '=', hash);
      return toToken(await query.executeTakeFirst());
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
    async deleteExpiredTokens(now) {
      await db.deleteFrom('tokens').where('expires_at', '<=', now.getTime()).execute();
    },
  };
}

function secretKeyPurpose(accessKey: string): string {
  return `secret key of access key ${accessKey}`;
}

function toProject(row: ProjectRow | undefined): Project | null {
  if (!row) return null;
  return { id: row.id as ProjectId, name: row.name, domainId: row.domain_id };
}

function toUser(row: UserRow | undefined): User | null {
  if (!row) return null;
  return {
    id: row.id as UserId,
    name: row.name,
    domainId: row.domain_id,
    domainName: row.domain_name,
    passwordHash: row.password_hash,
  };
}

function toAccessKey(row: AccessKeyRow | undefined, masterKey: MasterKey): AccessKey | null {
  if (!row) return null;
  const purpose = secretKeyPurpose(row.access_key);
  return {
    accessKey: row.access_key,
    secretKey: unwrapSecret(masterKey, row.wrapped_secret_key, purpose),
    userId: row.user_id as UserId,
  };
}

function toToken(row: TokenRow | undefined): Token | null {
  if (!row) return null;
  return {
    hash: row.hash,
    userId: row.user_id as UserId,
    projectId: row.project_id as ProjectId | null,
    issuedAt: new Date(row.issued_at),
    expiresAt: new Date(row.expires_at),
  };
}
