// A planned recovery in the payload of a job: decided when it was asked for, carried out later.
import { CairnError } from '../../model/errors.ts';
import type { LogStreamId } from '../../model/ids.ts';
import { parseBackupId, parseLogStreamId } from '../../model/ids.ts';
import type { JobPayload } from '../../model/job.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { formatLogPosition, parseLogPosition } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';

export type RequestedRecovery = {
  readonly target: RecoveryTarget;
  /** Ids of transactions that are not replayed. */
  readonly skippedTransactions: readonly string[];
  /** Null: the backup as it is. */
  readonly log: { readonly streamId: LogStreamId; readonly until: LogPosition } | null;
  /** The new branch gets a higher number. */
  readonly newestTimeline: number;
};

export function formatRecovery({ log, ...requested }: RequestedRecovery): JobPayload {
  const until = log && { streamId: log.streamId, until: formatLogPosition(log.until) };
  return { ...requested, log: until };
}

/** Null: none was asked for. @throws bug */
export function parseRecovery(value: unknown): RequestedRecovery | null {
  if (value === undefined || value === null) return null;
  if (!isRecord(value)) throw invalid('recovery');
  const { target, log, newestTimeline } = value;
  if (typeof newestTimeline !== 'number') throw invalid('recovery.newestTimeline');
  const skippedTransactions = parseSkipped(value['skippedTransactions']);
  return { target: parseTarget(target), skippedTransactions, log: parseLog(log), newestTimeline };
}

/** Jobs of earlier versions have none. */
function parseSkipped(value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid('recovery.skippedTransactions');
  return value.map(String);
}

function parseLog(value: unknown): RequestedRecovery['log'] {
  if (value === null) return null;
  if (!isRecord(value)) throw invalid('recovery.log');
  const streamId = parseLogStreamId(String(value['streamId']));
  const until = parseLogPosition(String(value['until']));
  if (!streamId || !until) throw invalid('recovery.log');
  return { streamId, until };
}

function parseTarget(value: unknown): RecoveryTarget {
  if (!isRecord(value)) throw invalid('recovery.target');
  const { kind } = value;
  const timeline = typeof value['timeline'] === 'number' ? value['timeline'] : null;
  const isInclusive = value['isInclusive'] !== false;
  const backupId = parseBackupId(String(value['backupId']));
  switch (kind) {
    case 'time':
      return { kind, at: new Date(String(value['at'])), timeline, isInclusive };
    case 'log-position':
      // Earlier versions, which knew PostgreSQL only, wrote `lsn`.
      return { kind, position: String(value['position'] ?? value['lsn']), timeline, isInclusive };
    case 'gtid':
      return { kind, gtid: String(value['gtid']), isInclusive };
    case 'latest':
      return { kind, timeline };
  }
  if (backupId && kind === 'end-of-backup') return { kind, backupId };
  if (backupId && kind === 'name') {
    return { kind, name: String(value['name']), backupId, timeline };
  }
  if (backupId && kind === 'xid') {
    return { kind, xid: String(value['xid']), backupId, timeline, isInclusive };
  }
  throw invalid('recovery.target');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function invalid(name: string): CairnError {
  return new CairnError('bug', `job payload has no valid ${name}`);
}
