// The recovery targets of the command line. A time says its zone, or is a number of milliseconds:
// what a time without a zone means would depend on the machine that it is typed on.
import { CairnError } from '../model/errors.ts';
import type { BackupId } from '../model/ids.ts';
import { parseBackupId } from '../model/ids.ts';
import { parseLsn } from '../model/log-position.ts';
import type { RecoveryTarget } from '../model/recovery-target.ts';

export type TargetOptions = {
  readonly backup?: string;
  readonly instance?: string;
  readonly time?: string;
  readonly lsn?: string;
  readonly xid?: string;
  readonly name?: string;
  readonly latest?: boolean;
  readonly exclusive?: boolean;
  readonly timeline?: string;
};

const timePattern = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/;
const targetNames = ['time', 'lsn', 'xid', 'name', 'latest'] as const;

/** @throws invalid */
export function readRestoreTarget(options: TargetOptions): RecoveryTarget {
  const given = targetNames.filter((name) => options[name] !== undefined);
  const [name] = given;
  if (given.length > 1) {
    throw new CairnError('invalid', `say one of ${given.map((one) => `--${one}`).join(', ')}`);
  }
  assertFitting(options, name);
  if (name === undefined) {
    const text = 'say --backup ID, or --instance ID with --time, --lsn, --xid, --name or --latest';
    return { kind: 'end-of-backup', backupId: requireBackup(options, text) };
  }
  if (options.instance === undefined) {
    throw new CairnError('invalid', `--${name} needs --instance: whose log it is`);
  }
  const timeline = readTimeline(options.timeline);
  const bounded = { timeline, isInclusive: options.exclusive !== true };
  const needed = `--${name} needs --backup: nobody knows where it lies, so say where to begin`;
  switch (name) {
    case 'time':
      return { kind: 'time', at: readTime(options.time ?? ''), ...bounded };
    case 'lsn':
      return { kind: 'log-position', lsn: readLsn(options.lsn ?? ''), ...bounded };
    case 'xid':
      return {
        kind: 'xid',
        xid: readXid(options),
        backupId: requireBackup(options, needed),
        ...bounded,
      };
    case 'name':
      return {
        kind: 'name',
        name: options.name ?? '',
        backupId: requireBackup(options, needed),
        timeline,
      };
    case 'latest':
      return { kind: 'latest', timeline };
  }
}

function assertFitting(options: TargetOptions, name: string | undefined): void {
  const isBounded = name === 'time' || name === 'lsn' || name === 'xid';
  if (options.exclusive === true && !isBounded) {
    throw new CairnError('invalid', '--exclusive goes with --time, --lsn or --xid');
  }
  if (options.timeline !== undefined && name === undefined) {
    throw new CairnError(
      'invalid',
      '--timeline goes with --time, --lsn, --xid, --name or --latest',
    );
  }
  if (options.backup !== undefined && (name === 'time' || name === 'lsn' || name === 'latest')) {
    throw new CairnError('invalid', `--backup does not go with --${name}`, {
      hint: 'the newest backup that leads there is taken',
    });
  }
}

/** As the API takes it. */
export function presentTarget(target: RecoveryTarget): object {
  const timeline = 'timeline' in target ? target.timeline : null;
  const where = timeline === null ? {} : { timeline };
  const exclusive = 'isInclusive' in target && !target.isInclusive;
  const how = { ...where, ...(exclusive ? { exclusive } : {}) };
  switch (target.kind) {
    case 'end-of-backup':
      return { type: 'backup', backup_id: target.backupId };
    case 'time':
      return {
        restore_time: target.at.getTime(),
        recovery_target: { kind: 'time', ...how },
      };
    case 'log-position':
      return { recovery_target: { kind: 'lsn', value: target.lsn, ...how } };
    case 'xid':
    case 'name': {
      const value = target.kind === 'xid' ? target.xid : target.name;
      return {
        backup_id: target.backupId,
        recovery_target: { kind: target.kind, value, ...how },
      };
    }
    case 'latest':
      return { recovery_target: { kind: 'latest', ...how } };
  }
}

/** @throws invalid */
export function readTime(text: string): Date {
  if (/^\d{12,14}$/.test(text)) return new Date(Number(text));
  const at = new Date(text.replace(' ', 'T'));
  if (timePattern.test(text) && !Number.isNaN(at.getTime())) return at;
  throw new CairnError('invalid', `--time ${text} is no moment`, {
    hint: 'like 2026-01-05T03:30:00Z, 2026-01-05T04:30:00.250+01:00, or milliseconds since 1970',
  });
}

function readLsn(text: string): string {
  if (parseLsn(text) !== null) return text;
  throw new CairnError('invalid', `--lsn ${text} is no log position`, { hint: 'like 16/B374D848' });
}

function readXid({ xid = '' }: TargetOptions): string {
  if (/^\d{1,20}$/.test(xid)) return xid;
  throw new CairnError('invalid', `--xid ${xid} is no transaction id`);
}

function readTimeline(text: string | undefined): number | null {
  if (text === undefined) return null;
  const timeline = Number(text);
  if (Number.isInteger(timeline) && timeline > 0 && timeline < 2 ** 32) return timeline;
  throw new CairnError('invalid', `--timeline ${text} is no timeline`, {
    hint: 'a number, from 1',
  });
}

function requireBackup({ backup }: TargetOptions, missing: string): BackupId {
  if (backup === undefined) throw new CairnError('invalid', missing);
  const id = parseBackupId(backup);
  if (id) return id;
  throw new CairnError('invalid', `${backup} is not a backup id`);
}
