// A row of the history as notes keep it: JSON, so that positions of the log travel as text.
import { CairnError } from '../../model/errors.ts';
import type { BackupRecord, BackupType } from './backup-record.ts';
import { findLsn, formatLsn } from './lsn.ts';

/** What `recordFromJson` reads again. */
export function recordToJson(record: BackupRecord): Record<string, unknown> {
  return {
    ...record,
    firstLsn: formatLsn(record.firstLsn),
    lastLsn: formatLsn(record.lastLsn),
  };
}

/** @throws repository-damaged when it is not what `recordToJson` has written */
export function recordFromJson(value: unknown): BackupRecord {
  if (typeof value !== 'object' || value === null) throw damaged('record', value);
  const fields = value as Fields;
  return {
    setId: integer(fields, 'setId'),
    id: text(fields, 'id'),
    type: backupType(fields),
    database: text(fields, 'database'),
    serverName: optional(fields, 'serverName', text),
    userName: optional(fields, 'userName', text),
    device: optional(fields, 'device', text),
    firstLsn: lsn(fields, 'firstLsn'),
    lastLsn: lsn(fields, 'lastLsn'),
    differentialBaseId: optional(fields, 'differentialBaseId', text),
    firstForkId: text(fields, 'firstForkId'),
    lastForkId: text(fields, 'lastForkId'),
    familyId: text(fields, 'familyId'),
    isCopyOnly: flag(fields, 'isCopyOnly'),
    isDamaged: flag(fields, 'isDamaged'),
    hasChecksums: flag(fields, 'hasChecksums'),
    hasBulkLoggedData: flag(fields, 'hasBulkLoggedData'),
    startedLocal: text(fields, 'startedLocal'),
    finishedLocal: text(fields, 'finishedLocal'),
    offsetMinutes: optional(fields, 'offsetMinutes', integer),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const backupTypes: readonly BackupType[] = [
  'full',
  'differential',
  'log',
  'partial',
  'partial-differential',
];

function backupType(fields: Fields): BackupType {
  const type = backupTypes.find((known) => known === fields['type']);
  if (type === undefined) throw damaged('type', fields['type']);
  return type;
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string' || value === '') throw damaged(name, value);
  return value;
}

function integer(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw damaged(name, value);
  return value;
}

function flag(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== 'boolean') throw damaged(name, value);
  return value;
}

function lsn(fields: Fields, name: string): bigint {
  const found = findLsn(text(fields, name));
  if (found === null) throw damaged(name, fields[name]);
  return found;
}

function optional<T>(
  fields: Fields,
  name: string,
  read: (fields: Fields, name: string) => T,
): T | null {
  return fields[name] === null ? null : read(fields, name);
}

function damaged(name: string, value: unknown): CairnError {
  return new CairnError(
    'repository-damaged',
    `what is stored about a backup of the server has ${name} = ${JSON.stringify(value)}`,
    { hint: 'the file was changed, or written by a newer version of Cairn' },
  );
}
