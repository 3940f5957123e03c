// What a server has to back up, decided before anything is written.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { findReplicaRole, isPreferredHere, readReplicas } from './always-on.ts';
import type { DatabaseOrder } from './backup-database.ts';
import { isBeingRestored } from './restore-names.ts';
import type { FoundDatabase } from './server-databases.ts';
import { isSystemDatabase, readDatabases, whyNotBackedUp } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import { readServerInfo } from './server-info.ts';
import { engineEditions } from './server-traits.ts';
import type { SqlSession } from './session.ts';
import { openSession } from './session.ts';
import type { StoredNotes } from './stored-notes.ts';
import { encryptionKeysStatement } from './tsql-inspect.ts';

export type ServerSurvey = {
  readonly server: ServerInfo;
  readonly orders: readonly DatabaseOrder[];
  readonly skipped: StoredNotes['skipped'];
  readonly findings: readonly string[];
};

type SurveyOptions = { readonly signal: AbortSignal };

/** All databases of users. @throws invalid when there is none to back up; engine-refused, … */
export async function surveyServer(
  connection: Connection,
  { signal }: SurveyOptions,
): Promise<ServerSurvey> {
  await using session = await openSession(connection, { signal });
  const server = await readServer(session, signal);
  const found = await readDatabases(session, signal);
  const skipped: { readonly name: string; readonly why: string }[] = [];
  const chosen: FoundDatabase[] = [];
  for (const database of found.filter(({ name }) => !isSystemDatabase(name))) {
    const why = whyNotYet(database) ?? (await whyNotHere(database, session, signal));
    if (why === null) chosen.push(database);
    else skipped.push({ name: database.name, why });
  }
  if (chosen.length === 0) throw nothingToBackUp(skipped);
  const orders = await toOrders(chosen, session, signal);
  return {
    server,
    orders,
    skipped,
    findings: skipped.map(({ name, why }) => `${name}: left out, ${why}`),
  };
}

/** @throws invalid (database-unknown), engine-refused when one cannot be backed up now */
export async function surveyChosen(
  connection: Connection,
  { databases: names, signal }: SurveyOptions & { readonly databases: readonly string[] },
): Promise<ServerSurvey> {
  refuseSystemDatabases(names);
  await using session = await openSession(connection, { signal });
  const server = await readServer(session, signal);
  const found = new Map((await readDatabases(session, signal)).map((one) => [one.name, one]));
  const chosen = [...new Set(names)].map((name) => {
    const database = found.get(name);
    if (database === undefined) throw unknownDatabase(name);
    const why = whyNotBackedUp(database);
    if (why === null) return database;
    throw new CairnError('engine-refused', `${name} cannot be backed up: ${why}`, {
      hint: 'bring it online, or leave it out',
    });
  });
  const orders = await toOrders(chosen, session, signal);
  return {
    ...{ server, skipped: [], findings: [] },
    orders: orders.map((order) => ({ ...order, isCopyOnly: !beginsLog(order.database) })),
  };
}

/** @throws invalid */
export function refuseSystemDatabases(names: readonly string[]): void {
  const own = names.find(isSystemDatabase);
  if (own === undefined) return;
  throw new CairnError('invalid', `${own} is a database of the server itself`, {
    reason: 'database-name-invalid',
    hint: 'back up databases of users; those of the server are scripted or made anew',
  });
}

/** Log of it can be backed up only once a full backup was taken that is not a copy. */
function beginsLog({ recoveryModel, hasLogChain }: FoundDatabase): boolean {
  return recoveryModel !== 'SIMPLE' && hasLogChain === false;
}

async function readServer(session: SqlSession, signal: AbortSignal): Promise<ServerInfo> {
  const server = await readServerInfo(session, signal);
  if (server.engineEdition !== engineEditions.azureDatabase) return server;
  throw new CairnError('engine-refused', 'Azure SQL Database takes no backups of this kind', {
    hint: 'its backups are made by the cloud provider; export the database instead',
  });
}

function whyNotYet(database: FoundDatabase): string | null {
  return isBeingRestored(database.name)
    ? 'a restore by Cairn is making it'
    : whyNotBackedUp(database);
}

async function whyNotHere(
  { name, isInGroup }: FoundDatabase,
  session: SqlSession,
  signal: AbortSignal,
): Promise<string | null> {
  if (!isInGroup || (await isPreferredHere(session, name, signal))) return null;
  return 'its availability group has it backed up on another replica';
}

async function toOrders(
  databases: readonly FoundDatabase[],
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly DatabaseOrder[]> {
  const isGrouped = databases.some(({ isInGroup }) => isInGroup);
  const isEncrypted = databases.some((one) => one.isEncrypted);
  const replicas = isGrouped ? await ifAllowed(() => readReplicas(session, signal)) : null;
  const keys = isEncrypted ? await ifAllowed(() => readThumbprints(session, signal)) : null;
  return databases.map((database) => ({
    database,
    role: findReplicaRole(database, replicas),
    isCopyOnly: false,
    encryptorThumbprint: keys?.get(database.name) ?? null,
  }));
}

async function readThumbprints(
  session: SqlSession,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const rows = await session.run(encryptionKeysStatement(), { signal });
  return new Map(
    rows.flatMap((row) => {
      const { database_name: name, encryptor_thumbprint: thumbprint } = row;
      // Keys of a hardware module are no certificates: nobody finds them by such a number.
      const isCertificate = row['encryptor_type'] === 'CERTIFICATE';
      if (!isCertificate || typeof name !== 'string' || typeof thumbprint !== 'string') return [];
      return [[name, thumbprint]];
    }),
  );
}

const rightsMissing: readonly unknown[] = [229, 297, 300];

/** Null: the login may not know. */
async function ifAllowed<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CairnError && rightsMissing.includes(error.details['number'])) return null;
    throw error;
  }
}

function unknownDatabase(name: string): CairnError {
  return new CairnError('invalid', `the server has no database ${name}`, {
    reason: 'database-unknown',
    hint: 'names are written as the server shows them; the login must be able to see the database',
  });
}

function nothingToBackUp(skipped: StoredNotes['skipped']): CairnError {
  const why = skipped.map((one) => `${one.name}: ${one.why}`).join('; ');
  return new CairnError(
    'engine-refused',
    `the server has no database to back up${why === '' ? '' : ` (${why})`}`,
    { hint: 'only databases of users that the login may see are backed up' },
  );
}
