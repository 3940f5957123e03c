// How the command line programs are called (MariaDB documentation, "mariadb-dump", "mariadb
// Command-Line Client"; MySQL manual, "mysqldump", "mysql"). The password goes through the
// environment, which nobody but us and root can read; arguments can be read by everybody.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { rootCertificates, TLSSocket } from 'node:tls';
import { CairnError } from '../../model/errors.ts';
import type { Connection, TlsMode } from '../../model/instance.ts';
import type { StreamedResult, StreamingOptions } from '../../platform/child-stream.ts';
import { runStreaming } from '../../platform/child-stream.ts';
import { quoteForShell } from '../../platform/shell-text.ts';
import type { LogicalFile } from '../logical.ts';
import { openConnection, socketOf } from './connection.ts';
import { describeServer, redact } from './connection-error.ts';
import type { Flavor } from './flavor.ts';
import { quoteName } from './sql-text.ts';

/** A server, and how its programs speak to it. */
export type ClientTarget = {
  readonly connection: Connection;
  readonly flavor: Flavor;
};

export type ClientRun = Pick<StreamingOptions, 'signal' | 'take'> &
  Partial<Pick<StreamingOptions, 'input'>> & {
    readonly program: string;
    readonly args: readonly string[];
    /** That long nothing may move. */
    readonly silenceMs: number;
  };

export type DumpChoice = {
  readonly flavor: Flavor;
  /** Whether the dump says where the binary log stood. */
  readonly withPosition: boolean;
  /** Whether old rows of system-versioned tables come too. */
  readonly withHistory: boolean;
  /** Views that cannot be dumped: `database.view`. */
  readonly leftOut: readonly string[];
} & (
  | { readonly databases: readonly string[] }
  | { readonly database: string; readonly tables: readonly string[] }
);

/** Nothing of a dump moves while another session holds a table locked. */
export const dumpSilenceMs = 30 * 60_000;
/** The rebuild of the keys of a table is one statement. */
export const importSilenceMs = 12 * 60 * 60_000;

/** Rows may be as large as the server allows, whatever the program's own limit. */
const packetOption = '--max-allowed-packet=1G';
const charsetOption = '--default-character-set=utf8mb4';

export function dumpArguments(choice: DumpChoice): readonly string[] {
  const { flavor, withPosition, withHistory, leftOut } = choice;
  const position = {
    mariadb: ['--master-data=2', '--gtid'],
    mysql: ['--source-data=2'],
  } as const;
  // MySQL's own would need rights that a backup does not, or change the server that is restored to.
  const own = {
    mariadb: [],
    mysql: ['--set-gtid-purged=OFF', '--no-tablespaces', '--column-statistics=0'],
  } as const;
  const common = [
    ...['--single-transaction', '--quick', '--hex-blob', charsetOption, packetOption],
    ...own[flavor],
    ...(withHistory ? ['--dump-history'] : []),
    ...leftOut.map((view) => `--ignore-table=${view}`),
  ];
  if ('tables' in choice) {
    return [...common, '--skip-triggers', '--', choice.database, ...choice.tables];
  }
  return [
    ...common,
    ...['--routines', '--triggers', '--events'],
    ...(withPosition ? position[flavor] : []),
    ...['--databases', '--', ...choice.databases],
  ];
}

export function importArguments(database: string): readonly string[] {
  // In binary mode nothing in a dump is an order to the client but `DELIMITER`.
  return [charsetOption, packetOption, '--binary-mode', '--batch', `--database=${database}`];
}

/** Runs a program against the server. @throws engine-unreachable, engine-refused, cancelled */
export async function runClient(
  { connection, flavor }: ClientTarget,
  run: ClientRun,
): Promise<void> {
  const { program, silenceMs, take, input } = run;
  const folder = await mkdtemp(join(tmpdir(), 'cairn-client-'));
  const silence = new AbortController();
  const watch = setTimeout(() => silence.abort(silenceError(program, silenceMs)), silenceMs);
  try {
    const args = ['--no-defaults', ...(await connectArguments(connection, flavor, folder, run))];
    const result = await runStreaming(program, [...args, ...run.args], {
      env: environmentOf(connection),
      signal: AbortSignal.any([run.signal, silence.signal]),
      take: (bytes) => {
        watch.refresh();
        return take(bytes);
      },
      ...(input ? { input: watched(input, () => watch.refresh()) } : {}),
    });
    if (result.exitCode !== 0) throw toClientError(program, result, connection);
  } finally {
    clearTimeout(watch);
    await rm(folder, { recursive: true, force: true });
  }
}

export function planImportCommands({ databaseName }: LogicalFile, path: string): readonly string[] {
  if (databaseName === null) return [];
  const create = `create database ${quoteName(databaseName)}`;
  const args = importArguments(databaseName).map(quoteForShell);
  return [
    `mariadb --execute=${quoteForShell(create)}`,
    `mariadb ${args.join(' ')} < ${quoteForShell(path)}`,
  ];
}

/** Pure but for `authorities`, the file of those that are trusted. */
export function tlsArguments(
  tls: Exclude<TlsMode, 'prefer'>,
  flavor: Flavor,
  authorities: string | null,
): readonly string[] {
  const trust = authorities === null ? [] : [`--ssl-ca=${authorities}`];
  if (flavor === 'mysql') {
    const modes = {
      disable: 'DISABLED',
      require: authorities === null ? 'REQUIRED' : 'VERIFY_CA',
      'verify-ca': 'VERIFY_CA',
      'verify-full': 'VERIFY_IDENTITY',
    } as const;
    return [`--ssl-mode=${modes[tls]}`, ...trust];
  }
  if (tls === 'disable') return ['--skip-ssl'];
  // This program knows no way to look at the authority alone: the name must fit too.
  if (authorities !== null) return ['--ssl', ...trust, '--ssl-verify-server-cert'];
  return ['--ssl', '--skip-ssl-verify-server-cert'];
}

async function connectArguments(
  connection: Connection,
  flavor: Flavor,
  folder: string,
  { signal }: Pick<ClientRun, 'signal'>,
): Promise<readonly string[]> {
  const { host, port, user, tls, tlsCaPem } = connection;
  if (host.startsWith('/')) return [`--socket=${host}`, `--user=${user}`];
  const chosen = tls === 'prefer' ? await chooseTls(connection, signal) : tls;
  const isVerified = chosen.startsWith('verify') || (chosen === 'require' && tlsCaPem !== null);
  const authorities = isVerified ? join(folder, 'authorities.pem') : null;
  if (authorities !== null) {
    await writeFile(authorities, tlsCaPem ?? rootCertificates.join('\n'), { mode: 0o600 });
  }
  const address = ['--protocol=tcp', `--host=${host}`, `--port=${port}`, `--user=${user}`];
  return [...address, ...tlsArguments(chosen, flavor, authorities)];
}

/** The programs know no “if the server can”. */
async function chooseTls(
  connection: Connection,
  signal: AbortSignal,
): Promise<'require' | 'disable'> {
  const client = await openConnection(connection, { signal });
  const isEncrypted = socketOf(client) instanceof TLSSocket;
  client.end(() => undefined);
  return isEncrypted ? 'require' : 'disable';
}

function environmentOf({ password }: Connection): Readonly<Record<string, string>> {
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    ...(password === null ? {} : { MYSQL_PWD: password.reveal() }),
  };
}

async function* watched(
  input: AsyncIterable<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of input) {
    onBytes();
    yield bytes;
  }
}

function silenceError(program: string, silenceMs: number): CairnError {
  const minutes = Math.round(silenceMs / 60_000);
  return new CairnError(
    'engine-unreachable',
    `${basename(program)} did nothing for ${minutes} min`,
    {
      hint: 'look at the server’s process list: another session may hold a table locked',
    },
  );
}

/** Without the statement that has failed, of which the programs repeat all: it holds rows. */
export function readOwnWords(stderr: string): string {
  const own = /^(?:ERROR \d+|\[?(?:Warning|ERROR)\]?\b|\S*(?:mariadb|mysql)[\w.-]*: )/;
  const lines = stderr.split('\n').filter((line) => own.test(line));
  return lines.length === 0 ? 'it said nothing' : lines.slice(-6).join('; ').slice(-1000);
}

function toClientError(
  program: string,
  { exitCode, stderr }: StreamedResult,
  connection: Connection,
): CairnError {
  const name = basename(program);
  const said = readOwnWords(redact(stderr, connection));
  if (exitCode === null) {
    return new CairnError('engine-unreachable', `${name} was killed before it had finished`, {
      hint: 'the log of the host may say who did it: out of memory, an administrator',
    });
  }
  const isAway = /(?:Lost connection|gone away|Can't connect|Server shutdown|killed)/i.test(said);
  const kind = isAway ? 'engine-unreachable' : 'engine-refused';
  return new CairnError(kind, `${name} failed at ${describeServer(connection)}: ${said}`, {
    details: { exitCode },
  });
}
