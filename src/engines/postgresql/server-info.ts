// Looks at everything that a backup will need and says what is missing and how to set it right
// (PostgreSQL documentation, chapters "Server Configuration", "Replication" and "The pg_hba.conf
// File").
import type { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Finding, ServerInspection } from '../engine.ts';
import { blocking, checkTls, fine, warning } from '../findings.ts';
import { throwIfAborted } from '../guard.ts';
import type { Query } from './connection.ts';
import { closeClient, openClient, withQueries } from './connection.ts';
import { errorCode, toConnectionError } from './connection-error.ts';
import { checkSummaries } from './increment-request.ts';
import { checkArchiveRoom, checkSlotLimit, readHasSlot } from './log-findings.ts';
import { checkPageRights, readPageRights } from './page-source-rights.ts';
import type { ServerSettings } from './server-settings.ts';
import { majorVersionMax, majorVersionMin, readServerSettings } from './server-settings.ts';

const tlsHint = 'switch on ssl on the server and use sslmode=verify-full';

type Usage = { readonly used: number; readonly max: number };

/** @throws engine-unreachable, engine-refused (login) */
export async function inspectServer(
  connection: Connection,
  signal: AbortSignal,
): Promise<ServerInspection> {
  return await withQueries(connection, { signal }, async (query) => {
    const settings = await readServerSettings(query);
    const role = await readRole(query);
    const isEncrypted = await readEncrypted(query);
    const senders = await countUsage(query, settings, 'max_wal_senders', 'pg_stat_replication');
    const slots = await countUsage(
      query,
      settings,
      'max_replication_slots',
      'pg_replication_slots',
    );
    const refusal = await tryReplication(connection, signal);
    const findings = [
      checkVersion(settings),
      checkWalLevel(settings),
      checkSenders(senders),
      checkSlots(slots),
      checkReplicationRight(connection, role, refusal),
      checkReplicationLogin(connection, refusal),
      checkDataChecksums(settings),
      checkTls(connection.host, isEncrypted, tlsHint),
      checkRecovery(settings),
      checkSlotLimit(settings),
      ...checkArchiveRoom({ senders, slots }, await readHasSlot(query)),
      checkPageRights(await readPageRights(query), settings),
      ...checkSummaries(settings),
    ];
    const sizeBytes = await readSize(query);
    if (sizeBytes === null) findings.push(sizeHidden(connection));
    return {
      serverVersion: settings.serverVersion,
      majorVersion: String(settings.major),
      systemIdentifier: await readSystemIdentifier(query),
      sizeBytes: sizeBytes ?? 0,
      findings,
    };
  });
}

function checkVersion({ major, serverVersion }: ServerSettings): Finding {
  const supported = `PostgreSQL ${majorVersionMin} to ${majorVersionMax} are supported`;
  const found = `the server is PostgreSQL ${serverVersion}`;
  if (major < majorVersionMin) {
    return blocking('version', `${found}; ${supported}`, 'upgrade the server');
  }
  if (major > majorVersionMax) {
    return warning('version', `${found}; ${supported}`, 'upgrade Cairn');
  }
  return fine('version', found);
}

function checkWalLevel({ values }: ServerSettings): Finding {
  const message = `wal_level is ${values.wal_level}`;
  return values.wal_level === 'minimal'
    ? blocking('wal_level', message, 'set wal_level = replica and restart')
    : fine('wal_level', message);
}

function checkSenders({ used, max }: Usage): Finding {
  const message = `${used} of ${max} WAL senders are in use`;
  const hint = `set max_wal_senders = ${Math.max(max + 4, 10)} and restart`;
  return used >= max
    ? blocking('max_wal_senders', message, hint)
    : fine('max_wal_senders', message);
}

function checkSlots({ used, max }: Usage): Finding {
  const message = `${used} of ${max} replication slots are in use`;
  const wanted = Math.max(max + 4, 10);
  const hint = `drop unused slots, or set max_replication_slots = ${wanted} and restart`;
  return used >= max
    ? blocking('max_replication_slots', message, hint)
    : fine('max_replication_slots', message);
}

type Role = { readonly isSuperuser: boolean; readonly isReplication: boolean };

function checkReplicationRight(
  { user }: Connection,
  role: Role,
  refusal: CairnError | null,
): Finding {
  if (role.isSuperuser) return fine('replication-right', `user ${user} is a superuser`);
  if (role.isReplication || refusal === null) {
    return fine('replication-right', `user ${user} may replicate`);
  }
  const hint = `alter role ${user} replication`;
  return blocking('replication-right', `user ${user} may not replicate`, hint);
}

function checkReplicationLogin(connection: Connection, refusal: CairnError | null): Finding {
  const check = 'replication-login';
  if (refusal === null) return fine(check, 'a replication connection can be opened');
  const { code } = refusal.details;
  const line = `host replication ${connection.user} <address of this worker>/32 scram-sha-256`;
  const hints: Record<string, string> = {
    '28000': `add to pg_hba.conf, then reload: ${line}`,
    '42501': `alter role ${connection.user} replication`,
    '53300': 'raise max_wal_senders and restart',
  };
  const hint = hints[String(code)] ?? refusal.hint ?? 'check the server log';
  return blocking(check, `a replication connection is refused: ${refusal.message}`, hint);
}

function checkDataChecksums({ dataChecksums }: ServerSettings): Finding {
  return dataChecksums
    ? fine('data_checksums', 'data checksums are on')
    : warning(
        'data_checksums',
        'data checksums are off: damaged pages are backed up unnoticed',
        'stop the server, run pg_checksums --enable, start it',
      );
}

function checkRecovery({ isInRecovery }: ServerSettings): Finding {
  return isInRecovery
    ? warning(
        'recovery',
        'the server is a standby',
        'backups work; for the log archive register the primary, which may be ahead as well',
      )
    : fine('recovery', 'the server is a primary');
}

function sizeHidden({ user }: Connection): Finding {
  const hint = `grant pg_read_all_stats to ${user}`;
  return warning('size', 'the size of the server is hidden from this user', hint);
}

async function readRole(query: Query): Promise<Role> {
  const [row] = await query(
    'select rolsuper, rolreplication from pg_roles where rolname = current_user',
  );
  return { isSuperuser: row?.rolsuper === true, isReplication: row?.rolreplication === true };
}

async function readEncrypted(query: Query): Promise<boolean> {
  const [row] = await query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
  return row?.ssl === true;
}

/** Null when the server lets us in; otherwise why it does not. */
async function tryReplication(
  connection: Connection,
  signal: AbortSignal,
): Promise<CairnError | null> {
  try {
    const client = await openClient(connection, { signal, replication: true });
    try {
      await client.query('IDENTIFY_SYSTEM');
    } finally {
      closeClient(client);
    }
    return null;
  } catch (error) {
    throwIfAborted(signal);
    return toConnectionError(error, connection);
  }
}

async function countUsage(
  query: Query,
  settings: ServerSettings,
  name: 'max_wal_senders' | 'max_replication_slots',
  view: 'pg_stat_replication' | 'pg_replication_slots',
): Promise<Usage> {
  const [row] = await query(`select count(*)::int as used from ${view}`);
  return { used: Number(row?.used ?? 0), max: Number(settings.values[name] ?? 0) };
}

/** Null when neither tablespaces nor databases tell their size. */
async function readSize(query: Query): Promise<number | null> {
  const statements = [
    'select sum(pg_tablespace_size(oid))::text as size from pg_tablespace',
    'select sum(pg_database_size(oid))::text as size from pg_database ' +
      "where has_database_privilege(oid, 'connect')",
  ];
  for (const statement of statements) {
    const rows = await query(statement).catch(ignoreRefusal);
    const size = Number(rows?.[0]?.size ?? Number.NaN);
    if (Number.isSafeInteger(size)) return size;
  }
  return null;
}

async function readSystemIdentifier(query: Query): Promise<string> {
  const rows = await query('select system_identifier::text as id from pg_control_system()').catch(
    ignoreRefusal,
  );
  return String(rows?.[0]?.id ?? '');
}

/** Missing rights are part of what is looked for; anything else is not. */
function ignoreRefusal(error: unknown): null {
  if (errorCode(error) === '42501') return null;
  throw error;
}
