// How a backup was taken: the result of its job, from what the engine has noted.
import type { JobPayload } from '../../model/job.ts';
import type { StoredBackup } from '../../repository/repository.ts';

export type BackupReport = {
  readonly kind: 'backup';
  /** The engine's word for the way. */
  readonly source: string;
  /** Why it was no better way, and nothing or not everything was kept. */
  readonly reasons: readonly string[];
  /** Taken over from the previous backup without being read. */
  readonly keptBytes: number;
  readonly readBytes: number;
};

/** Null where the engine knows one way only, and for backups of older versions. */
export function reportBackup({ facts, totals }: StoredBackup): (BackupReport & JobPayload) | null {
  const { source, sourceReasons, keptBytes } = facts.base.notes;
  if (typeof source !== 'string' || typeof keptBytes !== 'number') return null;
  return {
    ...{ kind: 'backup', source },
    reasons: Array.isArray(sourceReasons) ? sourceReasons.map(String) : [],
    ...{ keptBytes, readBytes: totals.logicalBytes - keptBytes },
  };
}
