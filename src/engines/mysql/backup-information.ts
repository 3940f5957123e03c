// What a backup program says about its own backup in small files of the stream (MariaDB
// documentation, "Files Created by mariadb-backup"). Newer releases of MariaDB have other names for
// them. `xtrabackup_binlog_pos_innodb` is none of them: it may be older than the backup.
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';

export type BackupInformation = {
  /** Where the binary log stood when the data was that of the backup; null: there is none. */
  readonly position: Extract<LogPosition, { engine: 'mysql' }> | null;
  /** Of InnoDB's last checkpoint when the backup began, and of its end. */
  readonly toLsn: bigint;
  readonly lastLsn: bigint;
  readonly toolVersion: string | null;
};

const files = {
  binlog: ['xtrabackup_binlog_info', 'mariadb_backup_binlog_info'],
  checkpoints: ['xtrabackup_checkpoints', 'mariadb_backup_checkpoints'],
  info: ['xtrabackup_info', 'mariadb_backup_info'],
} as const;

const names: ReadonlySet<string> = new Set(Object.values(files).flat());

export function isInformationFile(path: string): boolean {
  return names.has(path);
}

/**
 * The settings that the program writes down hold the pass phrase of the key file, when the server
 * has it as plain text: a backup names where keys are, and holds none.
 */
export function withoutSecrets(path: string): ((text: string) => string) | null {
  if (path !== 'backup-my.cnf') return null;
  return (text) =>
    text.replaceAll(/^\s*[\w-]*(filekey|password|secret|token)[\w-]*\s*=.*\n?/gim, '');
}

/** @throws engine-refused when one is missing or makes no sense */
export function parseInformation(
  texts: ReadonlyMap<string, string>,
  { hasBinaryLog }: { readonly hasBinaryLog: boolean },
): BackupInformation {
  const checkpoints = readPairs(getText(texts, 'checkpoints'));
  const info = readPairs(getText(texts, 'info'));
  return {
    position: hasBinaryLog ? parseBinlogInfo(getText(texts, 'binlog')) : null,
    toLsn: readLsn(checkpoints, 'to_lsn'),
    lastLsn: readLsn(checkpoints, 'last_lsn'),
    toolVersion: info.get('tool_version') ?? null,
  };
}

/** `bin.000004 TAB 337537 TAB 0-11-8179`; MySQL breaks the set of a long history into lines. */
function parseBinlogInfo(text: string): Extract<LogPosition, { engine: 'mysql' }> {
  const match = /^([^\t\n]+)\t(\d{1,15})(?:\t([\s\S]*))?$/.exec(text.trimEnd());
  if (!match) throw incomplete(`${files.binlog[0]} holds ${JSON.stringify(text.slice(0, 200))}`);
  const [, file = '', offset, set = ''] = match;
  const gtidSet = set.replaceAll(/\s/g, '');
  return {
    engine: 'mysql',
    file: file.slice(file.lastIndexOf('/') + 1),
    offsetBytes: Number(offset),
    gtidSet: gtidSet === '' ? null : gtidSet,
  };
}

function getText(texts: ReadonlyMap<string, string>, kind: keyof typeof files): string {
  for (const name of files[kind]) {
    const text = texts.get(name);
    if (text !== undefined) return text;
  }
  throw incomplete(`${files[kind][0]} did not come`);
}

/** Lines of `name = value`. */
function readPairs(text: string): ReadonlyMap<string, string> {
  const pairs = text.split('\n').map((line) => /^(\w+) = (.*)$/.exec(line));
  return new Map(pairs.flatMap((pair) => (pair ? [[pair[1] ?? '', pair[2] ?? '']] : [])));
}

function readLsn(pairs: ReadonlyMap<string, string>, name: string): bigint {
  const value = pairs.get(name) ?? '';
  if (/^\d{1,20}$/.test(value)) return BigInt(value);
  throw incomplete(`${name} in ${files.checkpoints[0]} is ${JSON.stringify(value)}`);
}

function incomplete(why: string): CairnError {
  return new CairnError('engine-refused', `the backup is not whole: ${why}`, {
    hint: 'take the backup again; the log of the server may say what happened',
  });
}
