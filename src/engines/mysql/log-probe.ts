// A second connection beside the dump: it asks the server for its clock and the end of its log
// every second, and looks how far the archive is behind, and what is in danger. It must lead to the
// same server as the dump does, or positions would be compared with those of another log: there our
// dump is among its processes.
//
// A transaction is written to the binary log before its commit is answered, so what was answered
// before the clock was read lies before the end that is read behind it. (The time in an event's
// header is another one, when its statement began: a long statement has an older time than what was
// committed meanwhile.)
import { CairnError } from '../../model/errors.ts';
import { compareLogPositions, describePlace } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { LogLag } from '../engine.ts';
import type { Query } from './connection.ts';
import type { Flavor } from './flavor.ts';
import type { BinlogPosition } from './log-resume.ts';
import type { BinlogEnd, BinlogFile } from './log-server.ts';
import { readBinlogEnd, readBinlogFiles, readExpirySeconds } from './log-server.ts';
import { expirySecondsMin } from './server-findings.ts';

export type ProbeOptions = {
  readonly flavor: Flavor;
  /** Of the dump's connection. */
  readonly threadId: number;
  /** Where the log ended before the first look. */
  readonly end: BinlogEnd;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** All that was committed at `clockAt` lies before the position, but for a moment. */
  readonly onMoment: (position: BinlogPosition, clockAt: Date) => void;
  /** At once, then with every tenth look. */
  readonly onLag: (lag: LogLag) => void;
  /** All before it is stored. */
  readonly storedPosition: () => BinlogEnd;
};

const looksPerState = 10;
/** The dump begins at about the same time as the looks. */
const missesMax = 30;

/**
 * Until the signal fires. @throws engine-unreachable when it leads to another server, or the log
 * has begun anew
 */
export async function probeServer(query: Query, options: ProbeOptions): Promise<never> {
  const { flavor, intervalMs, clock, signal } = options;
  let misses = 0;
  let looksLeft = 0;
  let known = positionOf(options.end);
  for (;;) {
    const now = await readClock(query, options.threadId);
    misses = now.isSameServer ? 0 : misses + 1;
    if (misses > missesMax) {
      const text = 'the connection leads to different servers, or to one that was replaced';
      throw new CairnError('engine-unreachable', text, {
        hint: 'name the server itself in the connection string, not a proxy',
      });
    }
    if (now.isSameServer) {
      const end = await readBinlogEnd(query, flavor);
      const position = positionOf(end);
      // Or places in the new log would prove moments of the old one, which is still being sent.
      if (compareLogPositions(position, known) < 0) throw resetError(known, position);
      known = position;
      options.onMoment(position, now.at);
      if (--looksLeft < 0) {
        looksLeft = looksPerState;
        await tellLag(query, end, options);
      }
    }
    await clock.sleep(intervalMs, signal);
  }
}

function positionOf(end: BinlogEnd): BinlogPosition {
  return { engine: 'mysql', ...end, gtidSet: null };
}

/** Whether the stored log goes on is seen by the next attempt, which compares. */
function resetError(known: BinlogPosition, position: BinlogPosition): CairnError {
  const text = `the log of the server ended at ${describePlace(known)}, and now does at`;
  return new CairnError('engine-unreachable', `${text} ${describePlace(position)}`, {
    hint: 'it was reset (RESET MASTER)',
  });
}

async function readClock(
  query: Query,
  threadId: number,
): Promise<{ readonly at: Date; readonly isSameServer: boolean }> {
  // In UTC, and of the moment in which the statement began.
  const [row] = await query(
    `select utc_timestamp(6) as now, (select count(*) from information_schema.processlist
       where id = ? and command like 'Binlog Dump%') as dumps`,
    [threadId],
  );
  const at = new Date(`${String(row?.['now']).replace(' ', 'T')}Z`);
  if (Number.isNaN(at.getTime())) {
    throw new CairnError('engine-refused', 'the server did not tell what time it is');
  }
  return { at, isSameServer: Number(row?.['dumps']) === 1 };
}

async function tellLag(query: Query, end: BinlogEnd, options: ProbeOptions): Promise<void> {
  const files = await readBinlogFiles(query, options.flavor);
  const expirySeconds = await readExpirySeconds(query);
  const stored = options.storedPosition();
  const behindBytes = countBehind(files, end, stored);
  options.onLag({ behindBytes, warning: planWarning(files, stored, expirySeconds) });
}

/** Bytes of log between what is stored and the end. Pure. */
export function countBehind(
  files: readonly BinlogFile[],
  end: BinlogEnd,
  stored: BinlogEnd,
): number {
  const index = files.findIndex(({ name }) => name === stored.file);
  const sizes = files
    .slice(Math.max(0, index))
    .map(({ name, sizeBytes }) => (name === end.file ? end.offsetBytes : sizeBytes));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return Math.max(0, bytes - (index < 0 ? 0 : stored.offsetBytes));
}

/**
 * The servers know no archive that they would keep log for: what is in danger is said here. Pure.
 */
export function planWarning(
  files: readonly BinlogFile[],
  stored: { readonly file: string },
  expirySeconds: number | null,
): LogLag['warning'] {
  const isNextToGo = files.length > 2 && files[0]?.name === stored.file;
  if (isNextToGo) {
    return {
      message: `${stored.file}, which the archive needs next, is the oldest that the server has`,
      hint: 'do not purge binary logs until the archive has caught up; keep them for longer',
    };
  }
  if (expirySeconds === null || expirySeconds >= expirySecondsMin) return null;
  const hours = Math.round(expirySeconds / 360) / 10;
  return {
    message: `the server removes its binary logs after ${hours} hours, stored or not`,
    hint: 'set binlog_expire_logs_seconds (or expire_logs_days) to a week or more',
  };
}
