// What a log archive must know of the server before it asks for its binary log: who it is, whether
// it writes one, which files are there, and how long they stay.
import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor, FlavoredVersion } from './flavor.ts';
import { flavors, parseServerVersion } from './flavor.ts';
import { readSystemIdentifier } from './server-identity.ts';

export type LogServer = FlavoredVersion & {
  readonly systemIdentifier: string;
  /** That of the replication, not the archive's. */
  readonly serverId: number;
};

export type BinlogFile = { readonly name: string; readonly sizeBytes: number };

/** Where the server writes now. */
export type BinlogEnd = { readonly file: string; readonly offsetBytes: number };

/** Error numbers of the servers. */
const missingRight = 1227;
const unknownStatement = 1064;

/** @throws engine-refused when it is none that can be followed */
export async function readLogServer(query: Query): Promise<LogServer> {
  const [row] = await query('select version() as version, @@log_bin as log_bin, @@server_id as id');
  const found = parseServerVersion(String(row?.['version']));
  if (!found) {
    throw new CairnError('engine-refused', `the server is of version ${String(row?.['version'])}`, {
      hint: 'check that the connection leads to MySQL or MariaDB',
    });
  }
  if (Number(row?.['log_bin']) !== 1) {
    throw new CairnError('engine-refused', 'the log cannot be archived: log_bin is off', {
      hint: 'set log_bin and a server_id in the configuration and restart the server',
    });
  }
  const systemIdentifier = await readSystemIdentifier(query, found.flavor);
  return { ...found, systemIdentifier, serverId: Number(row?.['id']) };
}

/** @throws engine-refused naming the GRANT */
export async function readBinlogEnd(query: Query, flavor: Flavor): Promise<BinlogEnd> {
  const row = await firstThatWorks(query, flavor);
  const [file, offsetBytes] = [row?.['File'], Number(row?.['Position'])];
  if (typeof file === 'string' && Number.isSafeInteger(offsetBytes)) return { file, offsetBytes };
  throw new CairnError('engine-refused', 'the server did not tell where its binary log ends', {
    hint: 'check that log_bin is on',
  });
}

/** Oldest first. @throws engine-refused naming the GRANT */
export async function readBinlogFiles(
  query: Query,
  flavor: Flavor,
): Promise<readonly BinlogFile[]> {
  const rows = await asLogReader(flavor, () => query('show binary logs'));
  return rows.map((row) => ({
    name: String(row['Log_name']),
    sizeBytes: Number(row['File_size']),
  }));
}

/** Null: for ever. */
export async function readExpirySeconds(query: Query): Promise<number | null> {
  const rows = await query(
    "show variables where variable_name in ('binlog_expire_logs_seconds', 'expire_logs_days')",
  );
  const values = new Map(rows.map((row) => [row['Variable_name'], Number(row['Value'])]));
  const seconds = values.get('binlog_expire_logs_seconds') || 0;
  const days = values.get('expire_logs_days') || 0;
  return seconds || days * 86_400 || null;
}

async function firstThatWorks(query: Query, flavor: Flavor) {
  const statements = flavors[flavor].positionStatements;
  for (const [index, statement] of statements.entries()) {
    try {
      const [row] = await asLogReader(flavor, () => query(statement));
      return row;
    } catch (error) {
      const isUnknown = errorNumber(error) === unknownStatement;
      if (!isUnknown || index === statements.length - 1) throw error;
    }
  }
  return undefined;
}

async function asLogReader<T>(flavor: Flavor, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (errorNumber(error) !== missingRight) throw error;
    const right = flavor === 'mariadb' ? 'BINLOG MONITOR' : 'REPLICATION CLIENT';
    throw new CairnError('engine-refused', 'the account may not look at the binary log', {
      hint: `GRANT ${right}, REPLICATION SLAVE ON *.* TO the account of the connection`,
      cause: error,
    });
  }
}
