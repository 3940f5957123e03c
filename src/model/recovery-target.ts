import type { BackupId } from './ids.ts';

/** The branch of the log that is meant; null: the newest that holds the target. */
type OnTimeline = { readonly timeline: number | null };
/** Whether what lies exactly at the target is replayed too. */
type Bounded = { readonly isInclusive: boolean };

/** Where replay stops. Travels as JSON, but for its dates. */
export type RecoveryTarget =
  | { readonly kind: 'end-of-backup'; readonly backupId: BackupId }
  | ({ readonly kind: 'time'; readonly at: Date } & OnTimeline & Bounded)
  /** As PostgreSQL prints one, `16/B374D848`: what counts is where a record begins. */
  | ({ readonly kind: 'log-position'; readonly lsn: string } & OnTimeline & Bounded)
  /** A restore point. Nobody knows where it lies: the backup says where the search begins. */
  | ({ readonly kind: 'name'; readonly name: string; readonly backupId: BackupId } & OnTimeline)
  /** A transaction; with the backup as with a name. */
  | ({ readonly kind: 'xid'; readonly xid: string; readonly backupId: BackupId } & OnTimeline &
      Bounded)
  | ({ readonly kind: 'latest' } & OnTimeline);

/** Everything up to the moment, on the newest branch. */
export function targetTime(at: Date): Extract<RecoveryTarget, { readonly kind: 'time' }> {
  return { kind: 'time', at, timeline: null, isInclusive: true };
}
