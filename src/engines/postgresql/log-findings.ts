// What the log archive needs of a server besides what a backup needs, and what it may do to it.
import { formatBytes, MiB } from '../../model/units.ts';
import type { Finding } from '../engine.ts';
import type { Query } from './connection.ts';
import type { ServerSettings } from './server-settings.ts';

type Usage = { readonly used: number; readonly max: number };

/** Whether the server keeps log for an archiver of ours already. */
export async function readHasSlot(query: Query): Promise<boolean> {
  const rows = await query(
    String.raw`select 1 from pg_replication_slots
      where slot_name like 'cairn\_%' and slot_type = 'physical' and not temporary`,
  );
  return rows.length > 0;
}

/** An archiver that stands still keeps all log on the server, unless there is a limit. */
export function checkSlotLimit({ values }: ServerSettings): Finding {
  const check = 'max_slot_wal_keep_size';
  const mib = Number(values[check] ?? -1);
  if (mib >= 0) {
    const message = `log that is not archived is kept up to ${formatBytes(mib * MiB)}`;
    return { check, severity: 'fine', message, hint: null };
  }
  return {
    check,
    severity: 'warning',
    message: 'log that is not archived is kept without a limit: a stopped archive fills the disk',
    hint: "alter system set max_slot_wal_keep_size = '50GB' (what the disk has room for), reload",
  };
}

/** The archiver holds one sender and one slot for good, a backup needs one of each meanwhile. */
export function checkArchiveRoom(
  usages: { readonly senders: Usage; readonly slots: Usage },
  hasSlot: boolean,
): readonly Finding[] {
  const names = { max_wal_senders: usages.senders, max_replication_slots: usages.slots };
  return Object.entries(names).flatMap(([check, { used, max }]) => {
    if (hasSlot || max - used !== 1) return [];
    const message = `${check} leaves room for one: a backup, or the log archive, but not both`;
    const hint = `set ${check} = ${Math.max(max + 4, 10)} and restart`;
    return [{ check: `${check}-archive`, severity: 'warning', message, hint } as const];
  });
}
