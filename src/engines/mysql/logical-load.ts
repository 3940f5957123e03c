// Loads a logical backup of a whole server into an empty server that only we reach: every database
// under its own name with everything in it, then the accounts.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { FileSource } from '../engine.ts';
import type { Query } from './connection.ts';
import { everybody, grantAll, readAccountNames } from './logical-accounts.ts';
import { importArguments, importSilenceMs, runClient } from './logical-client.ts';
import type { DumpContents, DumpedDatabase } from './logical-contents.ts';
import { contentsPath, filesOf, parseContents } from './logical-contents.ts';
import { assertSame, missing } from './logical-restore.ts';
import { countTables, createDatabase, withUnlimited } from './logical-target.ts';
import { serviceUser } from './service-account.ts';
import { quoteName } from './sql-text.ts';
import type { IsolatedWork } from './start-restored.ts';

type Load = {
  readonly source: FileSource;
  readonly contents: DumpContents;
  readonly onBytes: (bytes: number) => void;
} & IsolatedWork;

/** Any row that a dump can hold: a server may take more than it was sent, twice over. */
const packetBytes = 2 ** 30;

/** @throws engine-refused, repository-damaged, cancelled */
export async function loadDump(source: FileSource, work: IsolatedWork): Promise<void> {
  const { connection, signal, onProgress } = work;
  const contents = parseContents(
    Buffer.concat(await readAll(readFile(source, contentsPath, work))),
  );
  const totalBytes = contents.files.reduce((sum, { bytes }) => sum + bytes, 0);
  let doneBytes = 0;
  const onBytes = (bytes: number): void => {
    doneBytes += bytes;
    onProgress(doneBytes, totalBytes);
  };
  const load: Load = { ...work, source, contents, onBytes };
  await withUnlimited(connection, signal, async (query) => {
    await query(`set global max_allowed_packet = ${packetBytes}`);
  });
  for (const database of contents.databases) await loadDatabase(database, load);
  await withUnlimited(connection, signal, (query) => makeAccounts(query, load));
}

async function loadDatabase(database: DumpedDatabase, load: Load): Promise<void> {
  const { connection, flavor, tools, signal } = load;
  const { name, collation, character_set: characterSet, tables } = database;
  await withUnlimited(connection, signal, (query) =>
    createDatabase(query, name, { characterSet, collation }),
  );
  await runClient(
    { connection, flavor },
    {
      program: needClient(tools.client),
      args: importArguments(name),
      ...{ signal, silenceMs: importSilenceMs, take: () => undefined },
      input: readDatabase(database, load),
    },
  );
  await withUnlimited(connection, signal, (query) => countTables(query, name, tables));
}

/** File by file: no more than the largest table is on the disk at once. */
async function* readDatabase({ folder }: DumpedDatabase, load: Load): AsyncGenerator<Uint8Array> {
  const { source, contents, onBytes } = load;
  for (const expected of filesOf(contents.files, folder)) {
    const digest = createHash('sha256');
    for await (const bytes of readFile(source, expected.path, load)) {
      digest.update(bytes);
      onBytes(bytes.byteLength);
      yield bytes;
    }
    assertSame(expected, digest.digest('hex'));
  }
}

async function* readFile(
  source: FileSource,
  path: string,
  { scratchDir, signal }: Pick<IsolatedWork, 'scratchDir' | 'signal'>,
): AsyncGenerator<Uint8Array> {
  if (!source.files().some((file) => file.path === path)) {
    throw missing({ path, bytes: 0, sha256: '' });
  }
  const targetPath = join(scratchDir, 'part.sql');
  try {
    await source.extract([{ path, targetPath }], { onProgress: () => undefined, signal });
    yield* createReadStream(targetPath) as AsyncIterable<Uint8Array>;
  } finally {
    await rm(targetPath, { force: true });
  }
}

/** As they were: those that an empty server begins with and the backup does not know go. */
async function makeAccounts(query: Query, { contents, flavor, log }: Load): Promise<void> {
  const { accounts, has_accounts: isKnown } = contents;
  if (!isKnown) return;
  await query('set sql_log_bin = 0');
  // To say who may act as whom is not among all privileges; it goes with our account.
  await query(
    `insert ignore into mysql.proxies_priv
       (host, user, proxied_host, proxied_user, with_grant, grantor)
     values ('localhost', ?, '', '', 1, '')`,
    [serviceUser],
  );
  await query('flush privileges');
  const own = `${quoteName(serviceUser)}@`;
  const existing = [...(await readAccountNames(query, flavor))].filter(
    (name) => !name.startsWith(own) && name !== everybody,
  );
  for (const name of existing) await query(`drop ${kindOf(name)} ${name}`);
  const wanted = accounts.filter(({ name }) => !name.startsWith(own));
  for (const { create } of wanted) if (create !== '') await query(create);
  const grants = wanted.flatMap((account) => account.grants);
  await grantAll(query, grants, log);
  await query('flush privileges');
}

/** MariaDB's roles have no host. */
function kindOf(name: string): string {
  return name.includes('`@`') ? 'user' : 'role';
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const bytes of source) parts.push(bytes);
  return parts;
}

function needClient(client: string | null): string {
  if (client !== null) return client;
  throw new CairnError('engine-refused', 'the client program of the server is not installed', {
    hint: 'install the package mariadb-client or mysql-client where the worker runs',
  });
}
