// Which backups lead to a point of the log, one after another, and the proof that nothing is
// missing between them: decided before anything is restored. Pure.
//
// A log backup begins where the one before it ended, on the same fork. The first one must hold the
// end of the backup of the data that it is applied to. A copy-only log backup is beside the chain:
// the next one begins where it began too, so it can only be the last of a restore; the tail of a
// damaged database is such a one. One that ends where it began is not restored, but proves that
// nothing was written before it was taken. (SQL Server documentation, "Apply transaction log
// backups", "Recovery paths", "backupset".)
import { assertNever } from '../../model/assert.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupRecord, BackupType } from './backup-record.ts';
import { compareFinished } from './backup-record.ts';
import { formatLsn } from './lsn.ts';

export type ChainTarget =
  /** As far as the log goes. */
  | { readonly kind: 'latest' }
  /** The state at the end of one backup of the data. */
  | { readonly kind: 'end-of-backup'; readonly id: string }
  | { readonly kind: 'lsn'; readonly lsn: bigint }
  /**
   * By the clock of the server that wrote the log, `2026-11-24T21:00:00.000`; not in an hour that
   * it showed twice (`plan-stop-at.ts` refuses those), so that times can be compared as they stand.
   */
  | { readonly kind: 'time'; readonly localTime: string };

export type ChainPlan = {
  readonly full: BackupRecord;
  readonly differential: BackupRecord | null;
  readonly logs: readonly BackupRecord[];
  /** Where the log ends that is restored, or would without a target. */
  readonly endLsn: bigint;
};

/**
 * From the newest full and differential backup that the target can be reached from without a gap.
 * Backups of one database, in any order. @throws not-found, log-gap, repository-damaged or invalid:
 * why it cannot be from the newest
 */
export function planChain(records: readonly BackupRecord[], target: ChainTarget): ChainPlan {
  const bases = listBases(records, target);
  if (bases.length === 0) {
    throw new CairnError('not-found', `no full backup ends before ${describeTarget(target)}`, {
      hint: 'Choose a later target.',
    });
  }
  let whyNotNewest: unknown;
  for (const base of bases) {
    try {
      const plan = proveChain(base, records, target);
      if (target.kind === 'latest') checkNewest(plan, records);
      return plan;
    } catch (error) {
      if (!(error instanceof CairnError) || error.kind === 'bug') throw error;
      whyNotNewest ??= error;
    }
  }
  throw whyNotNewest;
}

type Base = Pick<ChainPlan, 'full' | 'differential'>;

/** Newest data first: fewest logs to replay. */
function listBases(records: readonly BackupRecord[], target: ChainTarget): readonly Base[] {
  const usable = records.filter((record) => isBaseFor(record, target));
  const fulls = records.filter(({ type }) => type === 'full');
  const bases = usable.flatMap((record): Base[] => {
    if (record.type === 'full') return [{ full: record, differential: null }];
    const full = fulls.find(({ id }) => id === record.differentialBaseId);
    return full === undefined ? [] : [{ full, differential: record }];
  });
  return bases.toSorted((a, b) => compareFinished(endOf(b), endOf(a)));
}

const isData = (type: BackupType): boolean => type === 'full' || type === 'differential';

function isBaseFor(record: BackupRecord, target: ChainTarget): boolean {
  if (!isData(record.type)) return false;
  switch (target.kind) {
    case 'latest':
      return true;
    case 'end-of-backup':
      return record.id === target.id.toLowerCase();
    case 'lsn':
      return record.lastLsn <= target.lsn;
    case 'time':
      return wholeSecond(record.finishedLocal) < wholeSecond(target.localTime);
    default:
      return assertNever(target);
  }
}

/** The history keeps seconds only: what ended within the target's own may have ended after it. */
const wholeSecond = (localTime: string): string => localTime.slice(0, 'yyyy-mm-ddThh:mm:ss'.length);

const endOf = ({ full, differential }: Base): BackupRecord => differential ?? full;

function proveChain(base: Base, records: readonly BackupRecord[], target: ChainTarget): ChainPlan {
  checkBase(base);
  const end = endOf(base);
  if (target.kind === 'end-of-backup') return { ...base, logs: [], endLsn: end.lastLsn };
  const logs = walkLogs(end, records, target);
  for (const record of logs) checkRecord(record);
  const plan = { ...base, logs, endLsn: logs.at(-1)?.lastLsn ?? end.lastLsn };
  checkReached(plan, records, target);
  checkStopInside(plan, target);
  return plan;
}

/**
 * Whether a differential backup can be restored on top of that full one. A database that was
 * restored in between keeps its base, and goes another way from there.
 */
export function isBasedOn(differential: BackupRecord, full: BackupRecord): boolean {
  const isBase = differential.differentialBaseId === full.id && !full.isCopyOnly;
  return isBase && isOnItsWay(differential, full);
}

function isOnItsWay(differential: BackupRecord, full: BackupRecord): boolean {
  return (
    differential.firstForkId === full.lastForkId &&
    differential.familyId === full.familyId &&
    differential.lastLsn >= full.lastLsn
  );
}

function checkBase({ full, differential }: Base): void {
  checkRecord(full);
  if (differential === null) return;
  checkRecord(differential);
  if (differential.differentialBaseId !== full.id || full.isCopyOnly) {
    throw new CairnError('log-gap', `${describe(differential)} is not based on ${describe(full)}`);
  }
  if (!isOnItsWay(differential, full)) {
    throw new CairnError('log-gap', `${describe(differential)} does not follow ${describe(full)}`, {
      hint: 'The database was restored in between; take a full backup.',
    });
  }
}

function checkRecord(record: BackupRecord): void {
  if (!record.isDamaged) return;
  throw new CairnError('repository-damaged', `${describe(record)} holds pages that were damaged`, {
    hint: 'The database was damaged already when it was taken; choose another backup.',
  });
}

/** Each log that continues what was reached, until the target lies inside one or none is left. */
function walkLogs(
  start: BackupRecord,
  records: readonly BackupRecord[],
  target: ChainTarget,
): readonly BackupRecord[] {
  const logs = records.filter(
    ({ type, familyId, firstLsn, lastLsn }) =>
      type === 'log' && familyId === start.familyId && lastLsn > firstLsn,
  );
  const chain: BackupRecord[] = [];
  let [reached, forkId] = [start.lastLsn, start.lastForkId];
  for (;;) {
    const next = findNext(logs, { reached, forkId, isFirst: chain.length === 0 });
    if (next === null) return chain;
    chain.push(next);
    [reached, forkId] = [next.lastLsn, next.lastForkId];
    if (isInside(next, target)) return chain;
  }
}

type Position = { readonly reached: bigint; readonly forkId: string; readonly isFirst: boolean };

/** The longest: a copy-only one that begins at the same place is a part of the next. */
function findNext(logs: readonly BackupRecord[], at: Position): BackupRecord | null {
  const fitting = logs.filter(
    ({ firstLsn, lastLsn, firstForkId }) =>
      firstForkId === at.forkId &&
      lastLsn > at.reached &&
      (at.isFirst ? firstLsn <= at.reached : firstLsn === at.reached),
  );
  return fitting.toSorted((a, b) => compare(b.lastLsn, a.lastLsn))[0] ?? null;
}

/**
 * Whether all of the log before the target is in it, or in those before it. A log backup holds what
 * was committed before it began; of what came while it ran, nobody knows.
 */
function isInside(log: BackupRecord, target: ChainTarget): boolean {
  if (target.kind === 'lsn') return target.lsn < log.lastLsn;
  if (target.kind === 'time') return target.localTime < log.startedLocal;
  return false;
}

/** A target that the log does not reach would leave the database restoring, without an error. */
function checkReached(
  plan: ChainPlan,
  records: readonly BackupRecord[],
  target: ChainTarget,
): void {
  const end = plan.logs.at(-1) ?? endOf(plan);
  if (end.type === 'log' && isInside(end, target)) return;
  if (records.some((record) => isIdleProof(record, end) && isInside(record, target))) return;
  const stranded = findStranded(end, records);
  if (stranded !== null) {
    const [from, to] = [formatLsn(end.lastLsn), formatLsn(stranded.firstLsn)];
    throw new CairnError('log-gap', `log is missing between ${from} and ${to}`, {
      hint: 'Another tool may have backed it up, or the recovery model was SIMPLE for a while.',
      details: { after: end.id, before: stranded.id },
    });
  }
  if (target.kind === 'latest') return;
  throw new CairnError('invalid', `the log does not reach ${describeTarget(target)}`, {
    hint: `It is known up to ${formatLsn(end.lastLsn)}, ${end.startedLocal} of the server's clock.`,
  });
}

/** A backup of the log that goes on from there and holds nothing: the database was not used. */
function isIdleProof(record: BackupRecord, end: BackupRecord): boolean {
  return (
    record.type === 'log' &&
    record.familyId === end.familyId &&
    record.firstForkId === end.lastForkId &&
    record.lastForkId === end.lastForkId &&
    record.firstLsn <= end.lastLsn &&
    record.lastLsn === end.lastLsn
  );
}

/** What an older backup and its log do not reach must not be passed over as if it did not exist. */
function checkNewest(plan: ChainPlan, records: readonly BackupRecord[]): void {
  const end = plan.logs.at(-1) ?? endOf(plan);
  const newest = records
    .filter(({ type, familyId }) => isData(type) && familyId === end.familyId)
    .toSorted(compareFinished)
    .at(-1);
  if (newest === undefined || newest.lastLsn <= end.lastLsn) return;
  throw new CairnError('log-gap', `${describe(newest)} cannot be restored`, {
    hint: 'What it is based on is missing: choose a target before it, or the end of a backup.',
  });
}

/** The first log behind the end that does not continue it; an abandoned fork ended before. */
function findStranded(end: BackupRecord, records: readonly BackupRecord[]): BackupRecord | null {
  const behind = records.filter((record) => {
    if (record.type !== 'log' || record.isCopyOnly || record.familyId !== end.familyId)
      return false;
    const isSameFork = record.firstForkId === end.lastForkId;
    return isSameFork ? record.lastLsn > end.lastLsn : compareFinished(record, end) > 0;
  });
  return behind.toSorted((a, b) => compare(a.firstLsn, b.firstLsn))[0] ?? null;
}

function checkStopInside({ logs }: ChainPlan, target: ChainTarget): void {
  const bulk = logs.find((log) => log.hasBulkLoggedData && mayStopIn(log, logs, target));
  if (bulk === undefined) return;
  throw new CairnError('invalid', `recovery cannot stop inside ${describe(bulk)}`, {
    hint: 'Bulk operations in it were not logged in full: choose a target before or behind it.',
  });
}

function mayStopIn(log: BackupRecord, logs: readonly BackupRecord[], target: ChainTarget): boolean {
  if (target.kind === 'latest') return false;
  const isLast = log === logs.at(-1);
  if (target.kind !== 'time') return isLast;
  return isLast || wholeSecond(log.finishedLocal) >= wholeSecond(target.localTime);
}

function describe({ type, id, finishedLocal }: BackupRecord): string {
  return `the ${type} backup ${id} of ${finishedLocal}`;
}

function describeTarget(target: ChainTarget): string {
  switch (target.kind) {
    case 'latest':
      return 'the end of the log';
    case 'end-of-backup':
      return `the end of backup ${target.id}`;
    case 'lsn':
      return `position ${formatLsn(target.lsn)}`;
    case 'time':
      return `${target.localTime} of the server's clock`;
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
