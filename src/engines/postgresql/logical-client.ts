// How PostgreSQL's own programs are called: where the server is and the password go through the
// environment (libpq's variables, PostgreSQL documentation, "Environment Variables"), which nobody
// but us and root can read; arguments can be read by everybody.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { StreamedResult, StreamingOptions } from '../../platform/child-stream.ts';
import { runStreaming } from '../../platform/child-stream.ts';
import type { LogicalFile } from '../logical.ts';
import { applicationName } from './connection.ts';
import { describeServer, redact } from './connection-error.ts';
import { quote } from './start-commands.ts';

const connectTimeoutSeconds = 15;

export type ClientRun = Pick<StreamingOptions, 'signal' | 'take'> &
  Partial<Pick<StreamingOptions, 'input'>> & {
    readonly program: string;
    readonly args: readonly string[];
  };

/** Runs one of the programs against the server. @throws engine-unreachable, engine-refused */
export async function runClient(connection: Connection, run: ClientRun): Promise<void> {
  const { program, args, ...streams } = run;
  const folder = await mkdtemp(join(tmpdir(), 'cairn-client-'));
  try {
    const env = await writeEnvironment(connection, folder);
    const result = await runStreaming(program, args, { ...streams, env });
    if (result.exitCode !== 0) throw toClientError(program, result, connection);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * As the value of `--dbname`. A bare name with a `=` in it, or one that looks like a URL, would be
 * read as a connection string.
 */
export function databaseArgument(database: string): string {
  return `dbname='${database.replaceAll(/['\\]/g, '\\$&')}'`;
}

export function planImportCommands({ databaseName }: LogicalFile, path: string): readonly string[] {
  if (databaseName === null) return [];
  const database = quote(databaseArgument(databaseName));
  return [
    `createdb --template=template0 -- ${quote(databaseName)}`,
    `pg_restore --exit-on-error --no-tablespaces --dbname=${database} ${quote(path)}`,
  ];
}

async function writeEnvironment(
  connection: Connection,
  folder: string,
): Promise<Readonly<Record<string, string>>> {
  const { host, port, user, database, password, tls, tlsCaPem } = connection;
  const authorities = join(folder, 'authorities.pem');
  const isVerified = tls.startsWith('verify') || (tls === 'require' && tlsCaPem !== null);
  if (isVerified) {
    await writeFile(authorities, tlsCaPem ?? rootCertificates.join('\n'), { mode: 0o600 });
  }
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    // Without a file of that name nothing is verified, whatever lies in somebody's home.
    PGSSLROOTCERT: authorities,
    PGSSLMODE: host.startsWith('/') ? 'disable' : tls,
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGPASSFILE: join(folder, 'none'),
    ...(password === null ? {} : { PGPASSWORD: password.reveal() }),
    PGAPPNAME: applicationName,
    PGCONNECT_TIMEOUT: String(connectTimeoutSeconds),
  };
}

function toClientError(
  program: string,
  { exitCode, stderr }: StreamedResult,
  connection: Connection,
): CairnError {
  const name = program.slice(program.lastIndexOf('/') + 1);
  const said = redact(stderr, connection).trim().split('\n').slice(-6).join('; ');
  if (exitCode === null) {
    return new CairnError('engine-unreachable', `${name} was killed before it had finished`, {
      hint: 'the log of the host may say who did it: out of memory, an administrator',
    });
  }
  const isAway = /connection to server .* failed|server closed the connection|could not receive/;
  const kind = isAway.test(said) ? 'engine-unreachable' : 'engine-refused';
  return new CairnError(kind, `${name} failed at ${describeServer(connection)}: ${said}`, {
    details: { exitCode },
  });
}
