// The log that belongs to a backup by SQL, as the server's own base backup includes it (PostgreSQL
// source, `basebackup.c`): whole segments from start to stop, of whatever timeline they are, and
// every timeline history; each with a mark that it needs no archiving any more.
import type { PostgresLogPosition } from './log-position.ts';
import { planSegments } from './log-position.ts';
import type { ListedEntry, ListedFile } from './page-source-list.ts';
import { planRequests } from './page-source-plan.ts';
import type { PageLanes } from './page-source-read.ts';
import type { PageSender } from './page-source-send.ts';

export type LogRange = {
  readonly start: PostgresLogPosition;
  readonly stop: PostgresLogPosition;
  readonly segmentBytes: number;
};

/** Name, size and time of every file in `pg_wal`. */
export const listLogStatement = `
  select 'pg_wal/' || name, s.isdir::int, s.size, extract(epoch from s.modification)::bigint
  from pg_ls_dir('pg_wal', true, false) as name, pg_stat_file('pg_wal/' || name, true) as s
  where s.size is not null and not s.isdir`;

/** Oldest first. */
export function planLog(
  listed: readonly ListedEntry[],
  { start, stop, segmentBytes }: LogRange,
): ListedFile[] {
  const wanted = new Set(planSegments(start.lsn, stop.lsn, segmentBytes));
  return listed
    .filter(({ path }) => {
      const match = /^pg_wal\/[0-9A-F]{8}(?:([0-9A-F]{16})|\.history)$/.exec(path);
      return match !== null && (match[1] === undefined || wanted.has(match[1]));
    })
    .map(({ path, sizeBytes, modifiedSeconds }) => {
      return { path, sizeBytes, modifiedSeconds, relation: null };
    })
    .toSorted((a, b) => (a.path.slice(-16) < b.path.slice(-16) ? -1 : 1));
}

/** @throws log-gap when a segment has gone */
export async function sendLog(
  files: readonly ListedFile[],
  lanes: PageLanes,
  sender: PageSender,
  now: Date,
): Promise<void> {
  await sender.sendFiles(
    lanes,
    planRequests(files, () => false),
    'whole-files',
  );
  for (const { path } of files) {
    const name = path.slice('pg_wal/'.length);
    await sender.sendContent(`pg_wal/archive_status/${name}.done`, Buffer.alloc(0), now);
  }
}
