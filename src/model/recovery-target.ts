import type { Engine } from './engine-kind.ts';
import type { BackupId } from './ids.ts';

/** The branch of the log that is meant; null: the newest that holds the target. */
type OnTimeline = { readonly timeline: number | null };
/** Whether what lies exactly at the target is replayed too. */
type Bounded = { readonly isInclusive: boolean };

/** Where replay stops. Travels as JSON, but for its dates. */
export type RecoveryTarget =
  | { readonly kind: 'end-of-backup'; readonly backupId: BackupId }
  | ({ readonly kind: 'time'; readonly at: Date } & OnTimeline & Bounded)
  /**
   * In the engine's own words: PostgreSQL's `16/B374D848`, MySQL's `bin.000004:337537`. What counts
   * is where a record begins.
   */
  | ({ readonly kind: 'log-position'; readonly position: string } & OnTimeline & Bounded)
  /** A transaction of MySQL, by its global id. */
  | ({ readonly kind: 'gtid'; readonly gtid: string } & Bounded)
  /**
   * A restore point; of SQL Server a marked transaction, or `lsn:34000000017600037`. Nobody knows
   * where it lies: the backup says where the search begins.
   */
  | ({ readonly kind: 'name'; readonly name: string; readonly backupId: BackupId } & OnTimeline)
  /** A transaction; with the backup as with a name. */
  | ({ readonly kind: 'xid'; readonly xid: string; readonly backupId: BackupId } & OnTimeline &
      Bounded)
  | ({ readonly kind: 'latest' } & OnTimeline);

/** Everything up to the moment, on the newest branch. */
export function targetTime(at: Date): Extract<RecoveryTarget, { readonly kind: 'time' }> {
  return { kind: 'time', at, timeline: null, isInclusive: true };
}

export type RecoveryOffer = {
  /** What the log can be searched for; an end of a backup is always possible. */
  readonly kinds: readonly RecoveryTarget['kind'][];
  /** Its log has numbered branches. */
  readonly hasTimelines: boolean;
  /** Single transactions can be left out of what is replayed. */
  readonly canSkip: boolean;
  readonly positionExample: string;
};

export const recoveryOffers = {
  postgresql: {
    kinds: ['time', 'log-position', 'name', 'xid', 'latest'],
    hasTimelines: true,
    canSkip: false,
    positionExample: '16/B374D848',
  },
  mysql: {
    kinds: ['time', 'log-position', 'gtid', 'latest'],
    hasTimelines: false,
    canSkip: true,
    positionExample: 'bin.000004:337537',
  },
  sqlserver: {
    kinds: ['time', 'name', 'latest'],
    hasTimelines: false,
    canSkip: false,
    positionExample: '',
  },
} as const satisfies Record<Engine, RecoveryOffer>;

/** Of one restore. */
export const skippedTransactionsMax = 100;
