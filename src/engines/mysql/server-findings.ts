// What the facts of a server mean for backups, the log archive and a recovery, each with the
// statement that mends it. Pure. The rights are those of `account-rights.ts`, the settings those of
// the manuals' chapters on the binary log.
import type { Connection } from '../../model/instance.ts';
import type { Finding } from '../engine.ts';
import { blocking, checkTls, fine, warning } from '../findings.ts';
import type { RightsUse } from './account-rights.ts';
import { planMissingRights } from './account-rights.ts';
import type { BackupWay, WayFacts } from './backup-way.ts';
import { planBackupWay } from './backup-way.ts';
import type { FlavoredVersion } from './flavor.ts';
import { flavors } from './flavor.ts';
import type { ReplicaStatus } from './replica-status.ts';
import { quoteAccount } from './sql-text.ts';

export type ServerState = {
  readonly way: WayFacts;
  /** Whom the server takes us for: `backup@%`. */
  readonly account: string;
  readonly log: LogSettings;
  readonly replica: ReplicaStatus;
  readonly isReadOnly: boolean;
  /** The plugin that holds the keys of encrypted tables. */
  readonly encryptionPlugin: string | null;
  /** Tables of people, by an engine that has no transactions: how many of each. */
  readonly tablesByEngine: ReadonlyMap<string, number>;
  readonly isEncrypted: boolean;
};

/** Of a server without a binary log the rest is not looked at. */
export type LogSettings = {
  readonly isOn: boolean;
  /** What the names of its files begin with; empty: the server does not tell. */
  readonly baseName: string;
  readonly format: string;
  readonly checksum: string;
  readonly rowImage: string;
  readonly syncBinlog: number;
  readonly serverId: number;
  /** Whether what a replica takes over is in its own log. */
  readonly holdsReplicated: boolean;
  /** Null: for ever. */
  readonly expirySeconds: number | null;
};

/** An archive that is away for that long, a weekend, loses nothing. */
export const expirySecondsMin = 3 * 86_400;
/** With the number behind it, what repositories take for a name. */
const baseNamePattern = /^[A-Za-z0-9._-]{1,189}$/;
const tlsHint = 'switch on TLS on the server and use sslmode=verify-full';
const restartHint = 'in the configuration, and restart the server';

export function planFindings(state: ServerState, { host }: Connection): readonly Finding[] {
  const way = planBackupWay(state.way);
  return [
    checkVersion(state.way),
    checkWay(way, state),
    checkRights(state, 'logical', way.kind === 'logical' ? blocking : warning),
    ...(state.log.isOn ? [checkRights(state, 'log', warning)] : []),
    ...checkLog(state.log),
    checkRole(state),
    ...checkEncryption(state.encryptionPlugin),
    ...checkEngines(state.tablesByEngine, way),
    checkTls(host, state.isEncrypted, tlsHint),
  ];
}

/** What the tools of this folder were written for, and what they were run against. */
const seriesMin = { mariadb: [10, 5], mysql: [5, 6] } as const;
const seriesRun: readonly string[] = ['10.11'];

export function checkVersion({ flavor, serverVersion }: FlavoredVersion): Finding {
  const { title } = flavors[flavor];
  const found = `the server is ${title} ${serverVersion.replace(/-.*$/, '')}`;
  const [major = 0, minor = 0] = serverVersion.split('.').map(Number);
  const [majorMin, minorMin] = seriesMin[flavor];
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    const text = `${found}; ${title} ${majorMin}.${minorMin} and later are supported`;
    return blocking('version', text, 'upgrade the server');
  }
  if (flavor === 'mariadb' && seriesRun.includes(`${major}.${minor}`)) {
    return fine('version', found);
  }
  const text = `${found}; Cairn follows its documentation, but was not run with this series`;
  return warning('version', text, 'try a restore of each kind before you rely on it');
}

function checkWay(way: BackupWay, state: ServerState): Finding {
  const check = 'backup-way';
  if (way.kind === 'physical') return fine(check, `full backups are physical, by ${way.program}`);
  const message = `full backups are logical, and slower to restore: ${way.reason}`;
  const missing = planMissingRights(state.way.rights, state.way.flavor, 'physical');
  const grant = missing.length === 0 ? '' : `; also ${grantOf(missing, state)}`;
  return warning(check, message, way.missing ? grantOf(way.missing, state) : way.hint + grant);
}

function checkRights(
  state: ServerState,
  use: RightsUse,
  severity: typeof blocking | typeof warning,
): Finding {
  const check = `rights-${use}`;
  const purposes: Readonly<Record<RightsUse, string>> = {
    physical: 'physical backups',
    log: 'the log archive',
    logical: 'logical backups',
  };
  const missing = planMissingRights(state.way.rights, state.way.flavor, use);
  if (missing.length === 0) return fine(check, `the account has what ${purposes[use]} need`);
  const message = `the account lacks ${missing.join(', ')} for ${purposes[use]}`;
  return severity(check, message, grantOf(missing, state));
}

function grantOf(rights: readonly string[], { account }: ServerState): string {
  return `GRANT ${rights.join(', ')} ON *.* TO ${quoteAccount(account)}`;
}

export function checkLog(log: LogSettings): readonly Finding[] {
  if (!log.isOn) {
    const text = 'log_bin is off: no moment between backups can be restored';
    return [warning('log_bin', text, `set log_bin and a server_id ${restartHint}`)];
  }
  return [
    fine('log_bin', 'log_bin is on'),
    ...checkBaseName(log),
    checkFormat(log),
    checkChecksum(log),
    checkSync(log),
    checkServerId(log),
    checkExpiry(log),
    ...checkRowImage(log),
  ];
}

/** An archive stores the files under their own names. */
function checkBaseName({ baseName }: LogSettings): readonly Finding[] {
  if (baseName === '' || baseNamePattern.test(baseName)) return [];
  const text = `the binary logs are named “${baseName}.…”: such names cannot be archived`;
  const allowed = 'of letters, digits, “.”, “_” and “-”';
  return [warning('log_bin-name', text, `set log_bin to a name ${allowed} ${restartHint}`)];
}

function checkFormat({ format }: LogSettings): Finding {
  const check = 'binlog_format';
  if (format === 'ROW') return fine(check, 'binlog_format is ROW');
  const text = `binlog_format is ${format}: statements may have another effect in a replay`;
  return warning(check, text, alwaysSet("binlog_format = 'ROW'"));
}

function checkChecksum({ checksum }: LogSettings): Finding {
  const check = 'binlog_checksum';
  if (checksum !== 'NONE') return fine(check, `binlog_checksum is ${checksum}`);
  const text = 'binlog_checksum is NONE: damage to the log is not noticed';
  return warning(check, text, alwaysSet("binlog_checksum = 'CRC32'"));
}

function checkSync({ syncBinlog }: LogSettings): Finding {
  const check = 'sync_binlog';
  if (syncBinlog === 1) return fine(check, 'sync_binlog is 1');
  const text =
    `sync_binlog is ${syncBinlog}: a crash of its host may lose log that was archived already, ` +
    'which ends the archived stream';
  return warning(check, text, alwaysSet('sync_binlog = 1'));
}

function checkServerId({ serverId }: LogSettings): Finding {
  const check = 'server_id';
  if (serverId > 0) return fine(check, `server_id is ${serverId}`);
  const text = 'server_id is 0: the server lets nobody follow its log';
  return warning(check, text, `set a server_id ${restartHint}`);
}

function checkExpiry({ expirySeconds }: LogSettings): Finding {
  const check = 'binlog-expiry';
  if (expirySeconds === null) {
    return fine(check, 'the server keeps its binary logs until they are purged');
  }
  const text = `the server keeps its binary logs for ${(expirySeconds / 3600).toFixed(1)} hours`;
  if (expirySeconds >= expirySecondsMin) return fine(check, text);
  const hint =
    `${alwaysSet(`binlog_expire_logs_seconds = ${expirySecondsMin}`)} ` +
    `(older servers: expire_logs_days = ${expirySecondsMin / 86_400})`;
  return warning(check, `${text}: an archive that is away for longer has a gap`, hint);
}

function checkRowImage({ rowImage }: LogSettings): readonly Finding[] {
  if (rowImage === '' || rowImage === 'FULL') return [];
  const text = `binlog_row_image is ${rowImage}: rows of the log show not all columns`;
  return [warning('binlog_row_image', text, alwaysSet("binlog_row_image = 'FULL'"))];
}

function alwaysSet(assignment: string): string {
  return `SET GLOBAL ${assignment}, and in the configuration`;
}

function checkRole({ replica, isReadOnly, log }: ServerState): Finding {
  const check = 'role';
  if (replica.kind === 'replica') {
    const text = 'the server is a replica';
    return log.isOn && !log.holdsReplicated
      ? warning(
          check,
          `${text}, and what it takes over is not in its binary log: the log archive lacks it`,
          `register the primary, or set log_slave_updates = ON ${restartHint}`,
        )
      : warning(check, `${text}, which may be behind`, 'register the primary if it can be reached');
  }
  if (!isReadOnly) return fine(check, 'the server is written to');
  const text = 'the server is read_only, as replicas are';
  return warning(check, text, 'register the primary, if this is none');
}

function checkEncryption(plugin: string | null): readonly Finding[] {
  if (plugin === null) return [];
  const text = `tables may be encrypted by ${plugin}: a restore needs its keys`;
  return [warning('encryption', text, 'keep the keys apart from the backups; Cairn stores none')];
}

/** Memory tables are empty after each restart: the files of a server hold no row of them. */
function checkEngines(tables: ReadonlyMap<string, number>, way: BackupWay): readonly Finding[] {
  const mend = 'ALTER TABLE … ENGINE=InnoDB';
  const inMemory = tables.get('MEMORY') ?? 0;
  if (way.kind === 'physical') {
    if (inMemory === 0) return [];
    const text = `${inMemory} tables are of engine MEMORY: backups hold none of their rows`;
    return [warning('table-engines', text, mend)];
  }
  if (tables.size === 0) return [];
  const list = [...tables].map(([engine, count]) => `${count} of ${engine}`).join(', ');
  const text = `tables without transactions are not of one moment in logical backups: ${list}`;
  return [warning('table-engines', text, `${mend}, or let full backups be physical`)];
}
