// A second connection beside the replication: it asks the server for its clock and its insert
// position every second, and looks after the slot. It must lead to the same server as the
// replication does, or positions would be compared with those of another history: there the slot is
// held, and the timeline is the one that is followed.
import { CairnError } from '../../model/errors.ts';
import { parseLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Query } from './connection.ts';
import { endOfInserted } from './log-clock.ts';
import type { PostgresLogPosition } from './log-position.ts';
import type { SlotState } from './log-slot.ts';

export type ProbeOptions = {
  readonly keeperName: string;
  /** The timeline that the server writes. */
  readonly timeline: number;
  readonly segmentBytes: number;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** All that was committed at `clockAt` lies before the position, but for a moment. */
  readonly onMoment: (position: PostgresLogPosition, clockAt: Date) => void;
  /** At once, then with every tenth look. */
  readonly onState: (flushedLsn: bigint, state: SlotState) => void;
};

const looksPerState = 10;
/** The slot is free for a moment while the replication goes on to another timeline. */
const missesMax = 30;

const lookSql = `
  select pg_current_wal_insert_lsn()::text as inserted, pg_current_wal_flush_lsn()::text as flushed,
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) as timeline, slot.active as is_held,
    slot.wal_status, slot.safe_wal_size::text as safe_bytes,
    current_setting('wal_block_size')::int as page_bytes,
    (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size')::int as keep_mib
  from (values (1)) as one
  left join pg_replication_slots as slot on slot.slot_name = $1`;

type Look = {
  readonly insertedLsn: bigint;
  readonly flushedLsn: bigint;
  readonly isSameServer: boolean;
  readonly state: SlotState;
};

/** Until the signal fires. @throws engine-unreachable when it leads to another server */
export async function probeServer(query: Query, options: ProbeOptions): Promise<never> {
  const { intervalMs, clock, signal } = options;
  let misses = 0;
  let looksLeft = 0;
  for (;;) {
    // Two questions, so that nobody can doubt which of them was answered first.
    const [clockRow] = await query('select clock_timestamp() as now');
    const look = await lookAtServer(query, options);
    misses = look.isSameServer ? 0 : misses + 1;
    if (misses > missesMax) {
      const text = 'the connection leads to different servers, or to one that was replaced';
      throw new CairnError('engine-unreachable', text, {
        hint: 'name the primary itself in the connection string',
      });
    }
    if (look.isSameServer && clockRow?.now instanceof Date) {
      const { timeline } = options;
      const position = { engine: 'postgresql', timeline, lsn: look.insertedLsn } as const;
      options.onMoment(position, clockRow.now);
    }
    if (look.isSameServer && --looksLeft < 0) {
      looksLeft = looksPerState;
      options.onState(look.flushedLsn, look.state);
    }
    await clock.sleep(intervalMs, signal);
  }
}

async function lookAtServer(query: Query, options: ProbeOptions): Promise<Look> {
  const [row] = await query(lookSql, [options.keeperName]);
  const inserted = parseLsn(String(row?.inserted));
  const flushedLsn = parseLsn(String(row?.flushed));
  if (inserted === null || flushedLsn === null) {
    throw new CairnError('engine-refused', 'the server did not tell where its log ends');
  }
  const keepMib = Number(row?.keep_mib ?? -1);
  return {
    insertedLsn: endOfInserted(inserted, Number(row?.page_bytes), options.segmentBytes),
    flushedLsn,
    isSameServer:
      row?.is_held === true && Number.parseInt(String(row.timeline), 16) === options.timeline,
    state: {
      walStatus: typeof row?.wal_status === 'string' ? row.wal_status : null,
      safeWalBytes: row?.safe_bytes == null ? null : Number(row.safe_bytes),
      keepMaxBytes: keepMib < 0 ? null : keepMib * 1024 * 1024,
    },
  };
}
