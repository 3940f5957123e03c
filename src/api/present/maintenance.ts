import type { Job } from '../../model/job.ts';
import type { BackupReport } from '../../operations/backup/backup-report.ts';
import type { DeletedBackupReport } from '../../operations/backup/run-backup-deletion.ts';
import type { StoredCheckReport } from '../../operations/check/check-report.ts';
import { verdictOf } from '../../operations/check/check-report.ts';
import { jobKinds } from '../../operations/job-payloads.ts';
import type { RotatedKeyReport } from '../../operations/keys/run-key-rotation.ts';
import type { StoredLockReport } from '../../operations/lock/lock-report.ts';
import type { PartsReport } from '../../operations/logical/parts-payload.ts';
import type { DatabaseRestoreReport } from '../../operations/logical/restore-payload.ts';
import type { OffsiteReport } from '../../operations/offsite/offsite-report.ts';
import type { PruneReport, UnknownInstancesReport } from '../../operations/prune/prune-report.ts';
import type { AskedJob } from '../../operations/prune/request-prune.ts';
import type { RestoreReport } from '../../operations/restore/recovery-result.ts';
import type {
  AskedJobsWire,
  BackupReportWire,
  CheckReportWire,
  JobResultWire,
  LockReportWire,
  OffsiteReportWire,
  PruneReportWire,
  RestoreReportWire,
} from '../schema/maintenance.ts';

const hourMs = 3_600_000;

export function presentAskedJobs(jobs: readonly AskedJob[]): AskedJobsWire {
  return {
    jobs: jobs.map(({ instanceId, jobId }) => ({ instance_id: instanceId, job_id: jobId })),
  };
}

/** What the kind of job has stored; null for kinds that find nothing. */
export function presentResult({ kind, result }: Job): JobResultWire | null {
  if (result === null) return null;
  switch (kind) {
    case jobKinds.prune:
    case jobKinds.planPrune: {
      const report = result as PruneReport | UnknownInstancesReport;
      if (report.kind === 'prune') return presentPrune(report);
      return { kind: report.kind, instance_ids: [...report.instanceIds] };
    }
    case jobKinds.check:
      return presentCheckReport(result as StoredCheckReport);
    case jobKinds.copyOffsite:
      return presentOffsiteReport(result as OffsiteReport);
    case jobKinds.rotateKey:
      return { kind: 'rotated-key', key_id: (result as RotatedKeyReport).keyId };
    case jobKinds.backup:
      return presentBackupReport(result as BackupReport);
    case jobKinds.deleteBackup:
      return presentDeletion(result as DeletedBackupReport);
    case jobKinds.extendLocks:
      return presentLocks(result as StoredLockReport);
    case jobKinds.restore:
    case jobKinds.restoreInPlace:
      return presentRestored(result as RestoreReport);
    case jobKinds.restoreDatabases:
      return presentDatabases(result as DatabaseRestoreReport);
    case jobKinds.restoreParts: {
      const report = result as PartsReport;
      if (report.kind === 'restored-databases') return presentDatabases(report);
      const { kind, backupId: backup_id, tableCount: tables, rowCount: rows } = report;
      return { kind, backup_id, tables, rows };
    }
    default:
      return null;
  }
}

function presentBackupReport(report: BackupReport): BackupReportWire {
  const { kind, source, reasons, keptBytes, readBytes } = report;
  return { kind, source, reasons: [...reasons], kept_bytes: keptBytes, read_bytes: readBytes };
}

function presentRestored(report: RestoreReport): RestoreReportWire {
  const { backupId, streamId, lastCommitAt, target, position, timeline } = report;
  // A report of an earlier version has neither of these.
  const { transaction = null, skippedTransactions = [] } = report as Partial<RestoreReport>;
  return {
    ...{ kind: 'restore', backup_id: backupId, log_stream_id: streamId },
    ...{ target, position, timeline, last_commit_time: lastCommitAt },
    transaction: transaction && {
      ...{ id: transaction.id, statement: transaction.statement },
      replayed: transaction.isReplayed,
    },
    skipped_transactions: [...skippedTransactions],
  };
}

function presentDatabases(report: DatabaseRestoreReport): JobResultWire {
  return {
    kind: report.kind,
    backup_id: report.backupId,
    databases: report.databases.map(({ oldName, newName, tableCount, rowCount, notes = [] }) => ({
      ...{ old_name: oldName, new_name: newName, tables: tableCount, rows: rowCount },
      notes: [...notes],
    })),
  };
}

function presentDeletion({ kind, freedBytes, lockedUntilMs }: DeletedBackupReport): JobResultWire {
  const lockedUntil = lockedUntilMs === null ? null : new Date(lockedUntilMs).toISOString();
  return { kind, freed_bytes: freedBytes, locked_until: lockedUntil };
}

function presentLocks({ findings, moreFindings, ...report }: StoredLockReport): LockReportWire {
  return { ...report, findings: [...findings], more_findings: moreFindings };
}

function presentOffsiteReport(report: OffsiteReport): OffsiteReportWire {
  const { failed, moreFailed, ...counts } = report;
  return {
    ...counts,
    failed: failed.map(({ backupId, message }) => ({ backup_id: backupId, message })),
    more_failed: moreFailed,
  };
}

function presentPrune(report: PruneReport): PruneReportWire {
  const { kind, removed, waiting, kept, foreign } = report;
  return {
    ...{ kind, removed, waiting, kept },
    dry_run: report.dryRun,
    grace_hours: report.graceMs / hourMs,
    foreign: { ...foreign, names: [...foreign.names] },
    orphans: report.orphans.map(({ backupId, status, removed }) => ({
      ...{ backup_id: backupId, status, removed },
    })),
  };
}

/** The command line prints the same JSON for a check that it made itself. */
export function presentCheckReport(report: StoredCheckReport): CheckReportWire {
  const { kind, readData, counts, foreign } = report;
  return {
    ...{ kind, verdict: verdictOf(report), read_data: readData },
    counts: {
      instances: counts.instances,
      backups: counts.backups,
      gone_backups: counts.goneBackups,
      packs: counts.packs,
      pack_bytes: counts.packBytes,
      maps: counts.maps,
      map_bytes: counts.mapBytes,
      map_parts: counts.mapParts,
      keys: counts.keys,
      packs_read: counts.packsRead,
      bytes_read: counts.bytesRead,
      frames_read: counts.framesRead,
      pages_compared: counts.pagesCompared,
      // A report that was stored before log was archived counts none.
      log_streams: counts.logStreams ?? 0,
      log_intervals: counts.logIntervals ?? 0,
      log_pieces: counts.logPieces ?? 0,
      log_bytes: counts.logBytes ?? 0,
      log_pieces_read: counts.logPiecesRead ?? 0,
      unneeded: counts.unneeded,
      unneeded_bytes: counts.unneededBytes,
    },
    findings: report.findings.map(({ backupIds, moreBackups, ...finding }) => ({
      ...finding,
      backup_ids: [...backupIds],
      more_backups: moreBackups,
    })),
    more_findings: report.moreFindings,
    foreign: [...foreign],
  };
}
