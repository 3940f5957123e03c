// The server that databases are restored into, and why it cannot take them: looked at before
// anything is written. What the login may not see is not taken for absent: then the server itself
// refuses, at the first file that it is shown.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { planEdition } from './plan-edition.ts';
import type { WantedDatabase } from './restore-names.ts';
import { isSameName } from './restore-names.ts';
import type { FoundDatabase } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import { readServerInfo } from './server-info.ts';
import { engineEditions } from './server-traits.ts';
import type { SqlRow, SqlSession } from './session.ts';
import { openSession } from './session.ts';
import type { StoredNotes } from './stored-notes.ts';
import {
  certificatesStatement,
  databaseFilesStatement,
  serverRightsStatement,
} from './tsql-inspect.ts';

export type RestoreTarget = {
  readonly server: ServerInfo;
  readonly dataDir: string;
  readonly logDir: string;
  readonly mayCreate: boolean;
  /** Thumbprints, `0x…` in lower case; null: the login may not see all. */
  readonly certificates: ReadonlySet<string> | null;
};

export type TargetFile = { readonly database: string; readonly path: string };

/** @throws engine-refused for a server that restores nothing of this kind */
export async function readTarget(session: SqlSession, signal: AbortSignal): Promise<RestoreTarget> {
  const server = await readServerInfo(session, signal);
  const { dataDir, logDir } = server;
  const { azureDatabase, azureManagedInstance } = engineEditions;
  if ([azureDatabase, azureManagedInstance].some((edition) => edition === server.engineEdition)) {
    throw new CairnError('engine-refused', `${server.edition} restores no backups of this kind`, {
      hint: 'restore to a SQL Server of your own',
    });
  }
  if (dataDir === null || logDir === null) {
    throw new CairnError('engine-refused', 'the server does not say where new databases go', {
      hint: 'set its default folders for data and log',
    });
  }
  const [rights = {}] = await session.run(serverRightsStatement(), { signal });
  const has = (...names: readonly string[]): boolean => names.some((name) => rights[name] === 1);
  const certificates = await session.run(certificatesStatement(), { signal });
  return {
    ...{ server, dataDir, logDir },
    mayCreate: has(
      ...['is_sysadmin', 'is_dbcreator', 'may_create_any_database', 'may_create_database'],
    ),
    certificates: has('is_sysadmin', 'may_view_definitions') ? toThumbprints(certificates) : null,
  };
}

/** Of all databases that the login may see. */
export async function readFiles(
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly TargetFile[]> {
  const rows = await session.run(databaseFilesStatement(), { signal });
  return rows.map((row) => ({
    database: String(row['database_name']),
    path: String(row['physical_name']),
  }));
}

/**
 * What people should know where it is not refused. @throws invalid (version-mismatch),
 * engine-refused
 */
export function checkTarget(
  { server, mayCreate, certificates }: RestoreTarget,
  notes: StoredNotes,
  wanted: readonly WantedDatabase[],
): readonly string[] {
  const edition = planEdition(notes.server, server);
  if (edition.outcome === 'refused') {
    const { message, hint } = edition;
    throw new CairnError('invalid', message, { reason: 'version-mismatch', hint });
  }
  if (!mayCreate) {
    throw new CairnError('engine-refused', 'the login may not create databases', {
      hint: 'ALTER SERVER ROLE dbcreator ADD MEMBER … for the login that restores',
    });
  }
  const needed = wanted.flatMap(({ stored: { full, differential } }) => [
    full.encryptorThumbprint,
    differential?.encryptorThumbprint ?? null,
  ]);
  checkCertificates(certificates, needed);
  return edition.outcome === 'doubtful' ? [edition.note] : [];
}

/** @throws engine-refused naming the first that is known to be missing */
export function checkCertificates(
  certificates: ReadonlySet<string> | null,
  needed: readonly (string | null)[],
): void {
  const missing = needed.find((one) => one !== null && certificates?.has(fold(one)) === false);
  if (missing === undefined) return;
  throw new CairnError(
    'engine-refused',
    `the server lacks the certificate ${missing}, or its private key`,
    {
      hint: 'restore it with its private key first: without it nobody can read the backup',
    },
  );
}

/**
 * Whether each name is free, or its database can make room. @throws conflict (database-name-taken)
 */
export function checkNames(
  wanted: readonly WantedDatabase[],
  existing: readonly FoundDatabase[],
  { collation, replace }: { readonly collation: string; readonly replace: boolean },
): void {
  for (const { newName } of wanted) {
    const found = existing.find(({ name }) => isSameName(name, newName, collation));
    if (found === undefined) continue;
    if (!replace) throw nameTaken(found.name);
    const why = whyItStays(found);
    if (why === null) continue;
    throw new CairnError('conflict', `the database “${found.name}” cannot make room: ${why}`, {
      reason: 'database-name-taken',
      hint: 'restore under another name, or remove it first',
    });
  }
}

/**
 * What makes room is renamed from inside, alone in it, hours later maybe: whether the login gets in
 * is found out before. @throws engine-refused
 */
export async function checkEntry(
  connection: Connection,
  wanted: readonly WantedDatabase[],
  existing: readonly FoundDatabase[],
  { collation, signal }: { readonly collation: string; readonly signal: AbortSignal },
): Promise<void> {
  for (const { newName } of wanted) {
    const found = existing.find(({ name }) => isSameName(name, newName, collation));
    if (found === undefined) continue;
    const session = await openSession({ ...connection, database: found.name }, { signal });
    await session[Symbol.asyncDispose]();
  }
}

export function nameTaken(name: string, cause?: unknown): CairnError {
  return new CairnError('conflict', `the server has a database “${name}” already`, {
    reason: 'database-name-taken',
    hint: 'restore under another name, or have it replaced',
    ...(cause === undefined ? {} : { cause }),
  });
}

function whyItStays({ state, isInGroup, isSnapshot, isInStandby }: FoundDatabase): string | null {
  if (isInGroup) return 'it belongs to an availability group';
  if (isSnapshot) return 'it is a snapshot of another database';
  if (isInStandby) return 'it is being restored';
  return state === 'ONLINE' ? null : `it is ${state}`;
}

const fold = (thumbprint: string): string => thumbprint.toLowerCase();

/** A certificate alone decrypts nothing. */
function toThumbprints(rows: readonly SqlRow[]): ReadonlySet<string> {
  const usable = rows.filter((row) => row['pvt_key_encryption_type_desc'] !== 'NO_PRIVATE_KEY');
  return new Set(usable.map((row) => fold(String(row['thumbprint']))));
}
