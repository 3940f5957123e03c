// How the programs that replay a log are called (MariaDB documentation, "mariadb-binlog Options",
// "mariadb Command-Line Client"; MySQL documentation, "mysqlbinlog", "mysql Client Options"), and
// what a failure of the client means. Pure. The calls for MySQL have not been run.
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import { shortenStatement } from './binlog-statement.ts';
import type { Flavor } from './flavor.ts';
import { needTool } from './restore-notes.ts';
import type { IsolatedWork } from './start-restored.ts';

export type ToolCommand = {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

type ToolInput = Pick<IsolatedWork, 'tools' | 'flavor' | 'connection' | 'scratchDir'>;

const errorCharactersMax = 500;

/** Reads log from its input, and writes statements. */
export function decoderCommand({ tools, flavor, scratchDir }: ToolInput): ToolCommand {
  const args = [
    '--no-defaults',
    // Without it a flipped bit goes unseen.
    '--verify-binlog-checksum',
    ...ownArguments[flavor],
    '-',
  ];
  return { program: needTool(tools, 'binlog'), args, env: baseEnv(scratchDir) };
}

const ownArguments: Readonly<Record<Flavor, readonly string[]>> = {
  // Numbers may go down where the old server did not mind. Before 10.8 nobody asked.
  mariadb: ['--loose-skip-gtid-strict-mode'],
  // A server silently leaves out what its set of ids holds already, and this one begins a new one.
  mysql: ['--skip-gtids'],
};

/** Executes statements from its input, and writes their answers. */
export function clientCommand({ tools, connection, scratchDir }: ToolInput): ToolCommand {
  const args = [
    '--no-defaults',
    '--protocol=socket',
    `--socket=${connection.host}`,
    `--user=${connection.user}`,
    // Bytes are passed on as they are, and none of them is a command to the client.
    '--binary-mode',
    `--max-allowed-packet=${1024 * MiB}`,
    // Half a transaction would be lost with the first connection, silently.
    '--skip-reconnect',
    '--batch',
    '--skip-column-names',
    // Those in the bodies of procedures.
    '--comments',
    '--local-infile=0',
  ];
  const password = connection.password?.reveal() ?? '';
  const env = { ...baseEnv(scratchDir), MYSQL_PWD: password };
  return { program: needTool(tools, 'client'), args, env };
}

function baseEnv(scratchDir: string): Readonly<Record<string, string>> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC', TMPDIR: scratchDir };
}

/** Of rows that are there already, or are not there: what is replayed does not fit the data. */
const misfitCodes: ReadonlySet<string> = new Set(['1062', '1032', '1146', '1050', '1051', '1677']);

export function explainClient(stderr: string): CairnError {
  const line = /ERROR (\d+) .*/.exec(stderr);
  const reason = shortenStatement(line?.[0] ?? stderr.trim(), errorCharactersMax);
  const hint = misfitCodes.has(line?.[1] ?? '')
    ? 'the log does not fit the backup: restore from another backup, or to an earlier moment'
    : 'restore to a moment before that statement, or leave its transaction out';
  return new CairnError('engine-refused', `replaying the log failed: ${reason}`, { hint });
}
