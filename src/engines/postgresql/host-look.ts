// What the servers of an instance are at the moment (PostgreSQL documentation, chapters "High
// Availability", "Hot Standby", and "System Administration Functions", "Recovery Control"): which
// is the primary, and how far behind the standbys are. A server that does not answer is neither.
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { parseLsn } from '../../model/log-position.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { HostState } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { closeClient, openClient, withQueries } from './connection.ts';
import { describeServer } from './connection-error.ts';

type Answer = {
  readonly systemIdentifier: string;
  /** That of its log; of a standby, the one that it replays. */
  readonly timeline: number;
  /** Room for the slot of a backup. */
  readonly hasSlotRoom: boolean;
};

export type PrimaryLook = Answer & { readonly kind: 'primary'; readonly flushedLsn: bigint };

export type StandbyLook = Answer & {
  readonly kind: 'standby';
  /** It receives log right now. */
  readonly isStreaming: boolean;
  readonly receivedLsn: bigint | null;
  readonly replayedLsn: bigint | null;
  /** How long ago the last transaction that it has replayed was committed; null for none. */
  readonly replayedAgoMs: number | null;
};

export type UnknownLook = { readonly kind: 'unknown'; readonly error: CairnError };

export type HostLook = {
  /** Leads to this host alone. */
  readonly connection: Connection;
  /** `host:port`. */
  readonly name: string;
  readonly found: PrimaryLook | StandbyLook | UnknownLook;
};

export type LookOptions = { readonly signal: AbortSignal };

const lookTimeoutMs = 5_000;
/** A standby that lacks no more than this of what the primary has written is up to date. */
const freshBytes = 16n * 1024n * 1024n;

const lookSql = `
  select pg_is_in_recovery() as is_standby,
    exists (
      select from pg_stat_wal_receiver where coalesce(status, 'streaming') = 'streaming'
    ) as is_streaming,
    pg_last_wal_receive_lsn()::text as received, pg_last_wal_replay_lsn()::text as replayed,
    floor(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::text
      as replayed_ago,
    (select count(*) from pg_replication_slots)
      < (select setting::int from pg_settings where name = 'max_replication_slots')
      as has_slot_room`;

/** Each host of the connection by itself. */
export function hostsOf(connection: Connection): readonly Connection[] {
  const { standbys, ...common } = connection;
  const first = { host: connection.host, port: connection.port };
  return [first, ...standbys].map((address) => ({ ...common, ...address, standbys: [] }));
}

/** All at once, in the connection's order, within seconds. @throws the signal's reason only */
export async function lookAtAll(
  connection: Connection,
  options: LookOptions,
): Promise<readonly HostLook[]> {
  return await Promise.all(hostsOf(connection).map((host) => lookAt(host, options)));
}

async function lookAt(connection: Connection, options: LookOptions): Promise<HostLook> {
  const name = describeServer(connection);
  try {
    return { connection, name, found: await look(connection, options) };
  } catch (error) {
    throwIfAborted(options.signal);
    const failure = toCairnError(error);
    const late = new CairnError('engine-unreachable', `${name} does not answer`, { cause: error });
    const known = ['engine-unreachable', 'engine-refused'].includes(failure.kind);
    return { connection, name, found: { kind: 'unknown', error: known ? failure : late } };
  }
}

async function look(
  connection: Connection,
  { signal: parent }: LookOptions,
): Promise<PrimaryLook | StandbyLook> {
  const signal = deadlineSignal(lookTimeoutMs, parent);
  const system = await identify(connection, signal);
  const [row] = await withQueries(connection, { signal }, (query) => query(lookSql));
  const { lsn, ...identity } = system;
  const answer = {
    ...identity,
    hasSlotRoom: row?.has_slot_room === true,
  };
  if (row?.is_standby !== true) return { kind: 'primary', flushedLsn: lsn, ...answer };
  return {
    kind: 'standby',
    ...answer,
    isStreaming: row.is_streaming === true,
    receivedLsn: parseLsn(String(row.received)),
    replayedLsn: parseLsn(String(row.replayed)),
    replayedAgoMs: row.replayed_ago == null ? null : Math.max(0, Number(row.replayed_ago)),
  };
}

/** By the way that backups and the log take, so that it is known to be open. */
async function identify(
  connection: Connection,
  signal: AbortSignal,
): Promise<{ systemIdentifier: string; timeline: number; lsn: bigint }> {
  const client = await openClient(connection, { signal, replication: true });
  const abort = (): void => closeClient(client);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const { rows } = await client.query('IDENTIFY_SYSTEM');
    const { systemid, timeline, xlogpos } = rows[0] ?? {};
    const lsn = parseLsn(String(xlogpos));
    if (systemid && lsn !== null) {
      return { systemIdentifier: String(systemid), timeline: Number(timeline), lsn };
    }
    throw new CairnError('engine-refused', `${describeServer(connection)} did not tell who it is`);
  } finally {
    signal.removeEventListener('abort', abort);
    closeClient(client);
  }
}

/** How far a standby is behind the primary, null when nobody knows. Pure. */
export function lagMsOf(standby: StandbyLook, primary: PrimaryLook | null): number | null {
  const { receivedLsn, replayedLsn, replayedAgoMs } = standby;
  if (replayedLsn === null) return null;
  // The time of the last transaction says nothing while there are none.
  const isUpToDate = primary
    ? primary.flushedLsn - replayedLsn <= freshBytes
    : standby.isStreaming && receivedLsn !== null && replayedLsn >= receivedLsn;
  return isUpToDate ? 0 : replayedAgoMs;
}

/** For people. Pure. */
export function describeHosts(looks: readonly HostLook[]): readonly HostState[] {
  const primary = looks.find(({ found }) => found.kind === 'primary')?.found;
  return looks.map(({ connection: { host, port }, found }) => {
    switch (found.kind) {
      case 'primary':
        return { host, port, role: 'primary', timeline: found.timeline };
      case 'standby': {
        const lagMs = lagMsOf(found, primary?.kind === 'primary' ? primary : null);
        const { isStreaming } = found;
        return { host, port, role: 'standby', timeline: found.timeline, isStreaming, lagMs };
      }
      case 'unknown':
        return { host, port, role: 'unknown', problem: found.error.message };
    }
  });
}
