// The recovery targets of the command line. A time says its zone, or is a number of milliseconds:
// what a time without a zone means would depend on the machine that it is typed on.
import { CairnError } from '../model/errors.ts';
import { normalizeGtid } from '../model/gtid-set.ts';
import type { BackupId } from '../model/ids.ts';
import { parseBackupId } from '../model/ids.ts';
import { parseBinlogPlace, parseLsn } from '../model/log-position.ts';
import type { RecoveryTarget } from '../model/recovery-target.ts';
import { skippedTransactionsMax } from '../model/recovery-target.ts';

export type TargetOptions = {
  readonly backup?: string;
  readonly instance?: string;
  readonly time?: string;
  readonly lsn?: string;
  readonly xid?: string;
  readonly name?: string;
  readonly gtid?: string;
  readonly position?: string;
  readonly latest?: boolean;
  readonly exclusive?: boolean;
  readonly timeline?: string;
  readonly skipTransaction?: readonly string[];
};

const timePattern = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/;
const targetNames = ['time', 'lsn', 'xid', 'name', 'gtid', 'position', 'latest'] as const;
/** Those that lie at one place, before or behind which replay can stop. */
const boundedNames: readonly string[] = ['time', 'lsn', 'xid', 'gtid', 'position'];

/** @throws invalid */
export function readRestoreTarget(options: TargetOptions): RecoveryTarget {
  const given = targetNames.filter((name) => options[name] !== undefined);
  const [name] = given;
  if (given.length > 1) {
    throw new CairnError('invalid', `say one of ${given.map((one) => `--${one}`).join(', ')}`);
  }
  assertFitting(options, name);
  if (name === undefined) {
    const text = `say --backup ID, or --instance ID with ${listOptions(targetNames)}`;
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
      return { kind: 'log-position', position: readLsn(options.lsn ?? ''), ...bounded };
    case 'position': {
      const position = readBinlogPlace(options.position ?? '');
      return { kind: 'log-position', position, ...bounded };
    }
    case 'gtid': {
      const gtid = readGtid('--gtid', options.gtid ?? '');
      return { kind: 'gtid', gtid, isInclusive: bounded.isInclusive };
    }
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
  if (options.exclusive === true && !boundedNames.includes(name ?? '')) {
    throw new CairnError('invalid', `--exclusive goes with ${listOptions(boundedNames)}`);
  }
  if (options.timeline !== undefined && (name === undefined || name === 'gtid')) {
    const named = targetNames.filter((one) => one !== 'gtid');
    throw new CairnError('invalid', `--timeline goes with ${listOptions(named)}`);
  }
  if (options.skipTransaction !== undefined && name === undefined) {
    throw new CairnError('invalid', `--skip-transaction goes with ${listOptions(targetNames)}`);
  }
  if (options.backup !== undefined && name !== undefined && name !== 'xid' && name !== 'name') {
    throw new CairnError('invalid', `--backup does not go with --${name}`, {
      hint: 'the newest backup that leads there is taken',
    });
  }
}

/** `--time, --lsn or --xid` */
function listOptions(names: readonly string[]): string {
  const options = names.map((name) => `--${name}`);
  return `${options.slice(0, -1).join(', ')} or ${options.at(-1)}`;
}

/** What is left out of the replay, each once. @throws invalid */
export function readSkipped({ skipTransaction = [] }: TargetOptions): readonly string[] {
  const gtids = new Set(skipTransaction.map((text) => readGtid('--skip-transaction', text)));
  if (gtids.size <= skippedTransactionsMax) return [...gtids];
  throw new CairnError('invalid', `--skip-transaction names ${gtids.size} transactions`, {
    hint: `at most ${skippedTransactionsMax} of one restore`,
  });
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
      return {
        recovery_target: {
          kind: parseLsn(target.position) ? 'lsn' : 'position',
          value: target.position,
          ...how,
        },
      };
    case 'gtid':
      return { recovery_target: { kind: 'gtid', value: target.gtid, ...how } };
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

function readBinlogPlace(text: string): string {
  if (parseBinlogPlace(text)) return text;
  throw new CairnError('invalid', `--position ${text} is no place in a binary log`, {
    hint: 'file and offset, like bin.000004:337537',
  });
}

function readGtid(option: string, text: string): string {
  const gtid = normalizeGtid(text);
  if (gtid !== null) return gtid;
  throw new CairnError('invalid', `${option} ${text} is no global transaction id`, {
    hint: 'like 0-11-8179 of MariaDB, or 3e11fa47-71ca-11e1-9e33-c80aa9429562:23 of MySQL',
  });
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
