// While the log of a primary is followed, each standby keeps what is not stored yet as well: when
// it is promoted, the archive goes on there without a gap, however long it stood still before. A
// slot on a standby moves only when somebody moves it (PostgreSQL documentation, chapter "System
// Administration Functions", `pg_replication_slot_advance`).
import type { Connection } from '../../model/instance.ts';
import { formatLsn, parseLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { abortError } from '../guard.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import type { HostLook } from './host-look.ts';
import { prepareSlot } from './log-slot.ts';

export type StandbySlotOptions = {
  readonly keeperName: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

const moveTimeoutMs = 5_000;
const slotWaitMs = 2_000;

/** Tells of each standby once that it keeps nothing, until it does. */
export class StandbySlots {
  readonly #options: StandbySlotOptions;
  readonly #failed = new Set<string>();

  constructor(options: StandbySlotOptions) {
    this.#options = options;
  }

  /**
   * The standbys among the hosts keep the log from `storedLsn` on. One that cannot costs nothing
   * but that. @throws the signal's reason only
   */
  async keep(looks: readonly HostLook[], storedLsn: bigint): Promise<void> {
    const { signal, log } = this.#options;
    for (const { connection, name, found } of looks) {
      if (found.kind !== 'standby' || !found.isStreaming) continue;
      try {
        await this.#keepOn(connection, storedLsn);
        this.#failed.delete(name);
      } catch (err) {
        if (signal.aborted) throw abortError(signal);
        if (this.#failed.has(name)) continue;
        this.#failed.add(name);
        log.warn({ err, host: name }, 'a standby keeps no log: its promotion may make a gap');
      }
    }
  }

  async #keepOn(connection: Connection, storedLsn: bigint): Promise<void> {
    const { keeperName, clock } = this.#options;
    const signal = deadlineSignal(moveTimeoutMs, this.#options.signal);
    await withQueries(connection, { signal }, async (query) => {
      const slot = await prepareSlot(query, { keeperName, waitMs: slotWaitMs, clock, signal });
      const targetLsn = await planMove(query, slot.restartLsn, storedLsn);
      if (targetLsn === null) return;
      await query('select pg_replication_slot_advance($1, $2::pg_lsn)', [
        keeperName,
        formatLsn(targetLsn),
      ]);
    });
  }
}

/** Null: it is as far as it can be. A slot moves forward, and no further than what was replayed. */
async function planMove(
  query: Query,
  restartLsn: bigint,
  storedLsn: bigint,
): Promise<bigint | null> {
  const [row] = await query('select pg_last_wal_replay_lsn()::text as replayed');
  const replayedLsn = parseLsn(String(row?.replayed));
  if (replayedLsn === null) return null;
  const targetLsn = storedLsn < replayedLsn ? storedLsn : replayedLsn;
  return targetLsn > restartLsn ? targetLsn : null;
}
