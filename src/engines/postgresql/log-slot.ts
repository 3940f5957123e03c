// The replication slot that keeps a server's log until it is stored (PostgreSQL documentation,
// chapter "High Availability", "Replication Slots", and view `pg_replication_slots`). It stays when
// connections go, so the log of a pause is not lost; and it fills the server's disk when nobody
// comes back, which is why its state is looked at and told.
import { CairnError } from '../../model/errors.ts';
import { parseLsn } from '../../model/log-position.ts';
import { formatBytes } from '../../model/units.ts';
import type { Clock } from '../../platform/clock.ts';
import type { LogLag } from '../engine.ts';
import type { Query } from './connection.ts';
import { applicationName } from './connection.ts';

export type Slot = {
  /** What the server keeps begins here. */
  readonly restartLsn: bigint;
  /** Why the server may have forgotten log that was not stored; null for a slot that was kept. */
  readonly loss: string | null;
};

export type SlotOptions = {
  readonly keeperName: string;
  /** How long another connection may go on holding the slot. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

export type SlotState = {
  /** `reserved`, `extended`, `unreserved`, `lost`; null for a slot that keeps nothing. */
  readonly walStatus: string | null;
  /** Log that the server may still write before it forgets ours; null without a limit. */
  readonly safeWalBytes: number | null;
  /** `max_slot_wal_keep_size`; null without a limit. */
  readonly keepMaxBytes: number | null;
};

const pollMs = 500;
const terminationMs = 10_000;

/**
 * Makes the slot, or takes the one that is there. One that the server has given up is made anew:
 * whether log is missing shows when it is asked for. @throws conflict when another connection holds
 * it, engine-refused when it is none of ours
 */
export async function prepareSlot(query: Query, options: SlotOptions): Promise<Slot> {
  const { keeperName } = options;
  const row = await findSlot(query, keeperName);
  if (!row) return await createSlot(query, keeperName, `replication slot ${keeperName} is gone`);
  if (row.slot_type !== 'physical') {
    throw new CairnError('engine-refused', `replication slot ${keeperName} is a logical one`, {
      hint: `drop it: select pg_drop_replication_slot('${keeperName}')`,
    });
  }
  await freeSlot(query, options);
  const restartLsn = parseLsn(String(row.restart_lsn));
  if (restartLsn !== null && row.wal_status !== 'lost') return { restartLsn, loss: null };
  await dropSlot(query, keeperName);
  const loss = `the server has given up replication slot ${keeperName}`;
  return await createSlot(query, keeperName, loss);
}

/** Harmless when there is none. @throws conflict when another connection holds it */
export async function removeSlot(query: Query, options: SlotOptions): Promise<void> {
  if (!(await findSlot(query, options.keeperName))) return;
  await freeSlot(query, options);
  await dropSlot(query, options.keeperName);
}

/** What the state of the slot means for the user; null when all is well. */
export function planWarning(state: SlotState): LogLag['warning'] {
  const { walStatus, safeWalBytes, keepMaxBytes } = state;
  const limit =
    keepMaxBytes === null ? null : `max_slot_wal_keep_size is ${formatBytes(keepMaxBytes)}`;
  const hint = 'make the archive faster, or raise max_slot_wal_keep_size where the disk has room';
  if (walStatus === 'unreserved' || walStatus === 'lost') {
    const message = `the server is about to remove log that is not stored: ${limit ?? walStatus}`;
    return { message, hint };
  }
  if (safeWalBytes !== null && keepMaxBytes !== null && safeWalBytes < keepMaxBytes / 4) {
    const left = formatBytes(Math.max(safeWalBytes, 0));
    return { message: `log that is not stored is removed after ${left} more: ${limit}`, hint };
  }
  if (walStatus === 'extended') {
    return {
      message: 'the server keeps more log for the archive than max_wal_size',
      hint: 'watch the disk of the server: the archive does not keep up, or stood still',
    };
  }
  return null;
}

async function findSlot(
  query: Query,
  keeperName: string,
): Promise<Readonly<Record<string, unknown>> | null> {
  const [row] = await query(
    `select slot_type, active_pid, wal_status, restart_lsn::text as restart_lsn
     from pg_replication_slots where slot_name = $1`,
    [keeperName],
  );
  return row ?? null;
}

async function createSlot(query: Query, keeperName: string, loss: string): Promise<Slot> {
  const [row] = await query(
    'select lsn::text as lsn from pg_create_physical_replication_slot($1, true)',
    [keeperName],
  );
  const restartLsn = parseLsn(String(row?.lsn));
  if (restartLsn === null) {
    throw new CairnError('engine-refused', 'the server did not tell where its log begins');
  }
  return { restartLsn, loss };
}

async function dropSlot(query: Query, keeperName: string): Promise<void> {
  await query('select pg_drop_replication_slot($1)', [keeperName]);
}

/**
 * Waits until nobody holds the slot. A dead connection of ours may hold it for `wal_sender_timeout`
 * or, without one, for ever; so ours is ended after the wait, and only ours.
 */
async function freeSlot(query: Query, options: SlotOptions): Promise<void> {
  const { keeperName, waitMs } = options;
  const holder = await waitUntilFree(query, options, waitMs);
  if (holder === null) return;
  const ended = await query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where pid = $1 and application_name = $2`,
    [holder, applicationName],
  );
  if (ended.length > 0 && (await waitUntilFree(query, options, terminationMs)) === null) return;
  throw new CairnError('conflict', `replication slot ${keeperName} is held by process ${holder}`, {
    hint: 'stop the program that uses it: a slot serves one connection',
  });
}

/** Answers the process that holds the slot when the time is over, null as soon as none does. */
async function waitUntilFree(
  query: Query,
  { keeperName, clock, signal }: SlotOptions,
  waitMs: number,
): Promise<number | null> {
  const deadlineMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const pid = (await findSlot(query, keeperName))?.active_pid;
    if (typeof pid !== 'number') return null;
    if (clock.monotonicMs() >= deadlineMs) return pid;
    await clock.sleep(pollMs, signal);
  }
}
