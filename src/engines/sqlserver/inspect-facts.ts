// What an inspection reads from a server. Each question that needs a right of its own is asked by
// itself: null is "the login may not know", which is not "there is none".
import { CairnError } from '../../model/errors.ts';
import type { Replica } from './always-on.ts';
import { readReplicas } from './always-on.ts';
import type { FoundDatabase } from './server-databases.ts';
import { readDatabases } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import { readServerInfo } from './server-info.ts';
import type { SqlRow, SqlSession } from './session.ts';
import type { SqlStatement } from './statement.ts';
import { foreignBackupsStatement } from './tsql-history.ts';
import {
  certificatesStatement,
  databaseRightsStatement,
  encryptionKeysStatement,
  serverRightsStatement,
} from './tsql-inspect.ts';

export type LoginRights = {
  readonly login: string;
  readonly isSysadmin: boolean;
  readonly mayCreateDatabase: boolean;
  /** Over databases that exist too, as a restore onto one needs. */
  readonly isDbCreator: boolean;
  readonly mayAlterCredentials: boolean;
  readonly mayViewDefinitions: boolean;
  readonly mayViewState: boolean;
  readonly mayReadHistory: boolean;
};

export type DatabaseRights = {
  readonly name: string;
  /** Whether the login has a user in it. */
  readonly hasAccess: boolean;
  readonly mayBackUp: boolean;
  readonly mayBackUpLog: boolean;
};

export type EncryptedDatabase = {
  readonly name: string;
  /** Null: it is none of this server's, as a key in a vault is. */
  readonly certificate: string | null;
  /** When its private key was saved last; null: never, or nobody can tell. */
  readonly keySavedAt: string | null;
};

/** Of another tool, and in the way of ours. */
export type OtherBackup = {
  readonly database: string;
  readonly kind: 'log' | 'full';
  readonly user: string;
  readonly finishedAt: string;
};

export type ServerFacts = {
  readonly info: ServerInfo;
  readonly isEncrypted: boolean;
  readonly databases: readonly FoundDatabase[];
  readonly rights: LoginRights;
  readonly databaseRights: readonly DatabaseRights[];
  readonly replicas: readonly Replica[] | null;
  readonly encrypted: readonly EncryptedDatabase[] | null;
  readonly otherBackups: readonly OtherBackup[] | null;
};

/** For how long back other tools are looked for. */
export const foreignDays = 14;

/** @throws what the session throws, but for what the login is not allowed to know */
export async function readFacts(session: SqlSession, signal: AbortSignal): Promise<ServerFacts> {
  const info = await readServerInfo(session, signal);
  const [rightsRow = {}] = await session.run(serverRightsStatement(), { signal });
  const rights = toRights(rightsRow);
  const databaseRights = await session.run(databaseRightsStatement(), { signal });
  return {
    info,
    isEncrypted: session.isEncrypted,
    databases: await readDatabases(session, signal),
    rights,
    databaseRights: databaseRights.map((row) => ({
      name: String(row['name']),
      hasAccess: row['has_access'] === 1,
      mayBackUp: row['may_back_up'] === 1,
      mayBackUpLog: row['may_back_up_log'] === 1,
    })),
    replicas: info.isHadrEnabled ? await ifAllowed(() => readReplicas(session, signal)) : [],
    encrypted: await ifAllowed(() => readEncrypted(session, signal)),
    otherBackups: await ifAllowed(() => readOtherBackups(session, signal)),
  };
}

function toRights(row: SqlRow): LoginRights {
  const has = (column: string): boolean => row[column] === 1;
  return {
    login: String(row['login_name']),
    isSysadmin: has('is_sysadmin'),
    isDbCreator: has('is_sysadmin') || has('is_dbcreator'),
    mayCreateDatabase: has('may_create_any_database') || has('may_create_database'),
    mayAlterCredentials: has('may_alter_credentials'),
    mayViewDefinitions: has('may_view_definitions'),
    mayViewState: has('may_view_state') || has('may_view_performance'),
    mayReadHistory: has('may_read_backups') && has('may_read_media'),
  };
}

async function readEncrypted(
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly EncryptedDatabase[]> {
  const ask = (statement: SqlStatement) => session.run(statement, { signal });
  const keys = await ask(encryptionKeysStatement());
  if (keys.length === 0) return [];
  const certificates = await ask(certificatesStatement());
  return keys.map((key) => {
    const found = certificates.find((row) => row['thumbprint'] === key['encryptor_thumbprint']);
    const keySavedAt = found?.['key_saved_at'];
    return {
      name: String(key['database_name']),
      certificate: found === undefined ? null : String(found['name']),
      keySavedAt: typeof keySavedAt === 'string' ? keySavedAt : null,
    };
  });
}

async function readOtherBackups(
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly OtherBackup[]> {
  const rows = await session.run(foreignBackupsStatement(foreignDays), { signal });
  return rows.map((row) => ({
    database: String(row['database_name']),
    kind: String(row['type']).trim() === 'L' ? 'log' : 'full',
    user: String(row['user_name'] ?? 'somebody'),
    finishedAt: String(row['finished_at']),
  }));
}

/** Null where the server refuses to answer. @throws everything else */
async function ifAllowed<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    const isAnswer = error instanceof CairnError && typeof error.details['number'] === 'number';
    if (isAnswer && error.kind === 'engine-refused') return null;
    throw error;
  }
}
