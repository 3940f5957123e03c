// Looks at everything that backups, the log archive and a recovery will need. What it means is
// decided in `server-findings.ts`.
import { basename } from 'node:path';
import type { Connection } from '../../model/instance.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { ServerInspection } from '../engine.ts';
import { readEncryptionPlugin } from './backup-notes.ts';
import type { WayParts } from './backup-way.ts';
import { readWayFacts } from './backup-way.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { readExpirySeconds } from './log-server.ts';
import { readReplicaStatus } from './replica-status.ts';
import type { LogSettings } from './server-findings.ts';
import { planFindings } from './server-findings.ts';
import { readFlavor, readSystemIdentifier } from './server-identity.ts';

/** @throws engine-unreachable, engine-refused (login) */
export async function inspectServer(
  connection: Connection,
  signal: AbortSignal,
  parts: WayParts,
): Promise<ServerInspection> {
  return await withQueries(connection, { signal }, async (query) => {
    const version = await readFlavor(query);
    const { flavor, serverVersion } = version;
    const way = await readWayFacts(query, connection, version, { ...parts, signal });
    const settings = await readSettings(query);
    const state = {
      way,
      account: await readAccount(query),
      log: await readLogSettings(query, settings),
      replica: await readReplicaStatus(query, flavor),
      isReadOnly: settings.get('read_only') === 'ON',
      encryptionPlugin: await readEncryptionPlugin(query),
      tablesByEngine: await countOutsideSnapshot(query),
      isEncrypted: await readEncrypted(query),
    };
    return {
      serverVersion,
      majorVersion: majorVersion('mysql', serverVersion),
      systemIdentifier: await readSystemIdentifier(query, flavor),
      sizeBytes: await readSize(query),
      findings: planFindings(state, connection),
    };
  });
}

const settingNames = [
  ...[
    'log_bin',
    'log_bin_basename',
    'binlog_format',
    'binlog_checksum',
    'binlog_row_image',
    'sync_binlog',
  ],
  ...['server_id', 'log_slave_updates', 'log_replica_updates', 'read_only'],
] as const;

/** Variables that a version does not have are left out. */
async function readSettings(query: Query): Promise<ReadonlyMap<string, string>> {
  const names = settingNames.map((name) => `'${name}'`).join(', ');
  const rows = await query(`show global variables where variable_name in (${names})`);
  return new Map(rows.map((row) => [String(row['Variable_name']), String(row['Value'])]));
}

async function readLogSettings(
  query: Query,
  values: ReadonlyMap<string, string>,
): Promise<LogSettings> {
  return {
    isOn: values.get('log_bin') === 'ON',
    baseName: basename(values.get('log_bin_basename') ?? ''),
    format: values.get('binlog_format') ?? 'ROW',
    checksum: values.get('binlog_checksum') ?? 'NONE',
    rowImage: values.get('binlog_row_image') ?? '',
    syncBinlog: Number(values.get('sync_binlog') ?? 0),
    serverId: Number(values.get('server_id') ?? 0),
    holdsReplicated:
      (values.get('log_replica_updates') ?? values.get('log_slave_updates')) === 'ON',
    expirySeconds: await readExpirySeconds(query),
  };
}

async function readAccount(query: Query): Promise<string> {
  const [row] = await query('select current_user() as account');
  return String(row?.['account']);
}

/** As far as the account may see them. */
async function countOutsideSnapshot(query: Query): Promise<ReadonlyMap<string, number>> {
  const rows = await query(
    `select t.engine as engine, count(*) as n
     from information_schema.tables t join information_schema.engines e on e.engine = t.engine
     where t.table_type = 'BASE TABLE' and e.transactions = 'NO'
       and t.table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema')
     group by t.engine order by t.engine`,
  );
  return new Map(rows.map((row) => [String(row['engine']), Number(row['n'])]));
}

async function readEncrypted(query: Query): Promise<boolean> {
  const [row] = await query("show session status like 'Ssl_cipher'");
  return String(row?.['Value'] ?? '') !== '';
}

/** Of tables and their indexes, as far as the account may see them. */
async function readSize(query: Query): Promise<number> {
  const [row] = await query(
    'select sum(data_length + index_length) as n from information_schema.tables',
  );
  return Number(row?.['n'] ?? 0);
}
