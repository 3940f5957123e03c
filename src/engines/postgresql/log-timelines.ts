// Where to follow a server's log from, when its history may have branched (PostgreSQL
// documentation, chapter "Continuous Archiving and Point-in-Time Recovery", "Timelines"). A history
// file lists, one a line, the timelines that came before and where each ended: number, position,
// reason. Pure.
import { CairnError } from '../../model/errors.ts';
import { formatLsn, parseLsn } from '../../model/log-position.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { segmentStart } from './log-position.ts';

/** A timeline that has ended, and where. */
export type EndedTimeline = { readonly timeline: number; readonly endLsn: bigint };

export type ServerBranch = {
  readonly timeline: number;
  /** How far its log is on disk. */
  readonly flushedLsn: bigint;
  /** What came before, oldest first. */
  readonly ended: readonly EndedTimeline[];
  readonly segmentBytes: number;
};

/** @throws engine-refused */
export function parseHistory(content: string): EndedTimeline[] {
  const ended: EndedTimeline[] = [];
  for (const line of content.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, timelineText, lsnText] = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line) ?? [];
    const timeline = Number(timelineText);
    const endLsn = parseLsn(lsnText ?? '');
    if (!(timeline > (ended.at(-1)?.timeline ?? 0)) || endLsn === null) {
      throw new CairnError('engine-refused', `the server's timeline history says ${line.trim()}`, {
        hint: 'look at the .history files in the pg_wal folder of the server',
      });
    }
    ended.push({ timeline, endLsn });
  }
  return ended;
}

/** Where a timeline ends in this server's history; null for the one that it writes. */
export function findEnd(branch: ServerBranch, timeline: number): bigint | null {
  return branch.ended.find((entry) => entry.timeline === timeline)?.endLsn ?? null;
}

/**
 * A new stream begins with the whole segment that holds the position, on the timeline that the
 * position belongs to.
 */
export function planNewStart(branch: ServerBranch, lsn: bigint): PostgresLogPosition {
  const holder = branch.ended.find((entry) => lsn < entry.endLsn);
  const timeline = holder?.timeline ?? branch.timeline;
  return { engine: 'postgresql', timeline, lsn: segmentStart(lsn, branch.segmentBytes) };
}

/**
 * The next timeline begins with the whole segment in which the last one ended, as `pg_receivewal`
 * has it: the server has copied the beginning of that segment into the new one's file.
 */
export function planBranchStart(
  timeline: number,
  forkLsn: bigint,
  segmentBytes: number,
): PostgresLogPosition {
  return { engine: 'postgresql', timeline, lsn: segmentStart(forkLsn, segmentBytes) };
}

/**
 * Where the log goes on behind the position: there, or on the next timeline when the position lies
 * behind the fork, on a branch that the server has left. @throws log-gap when the position is not
 * in this server's history
 */
export function planResume(
  branch: ServerBranch,
  position: PostgresLogPosition,
): PostgresLogPosition {
  const { timeline, lsn } = position;
  const stored = `log is stored up to ${formatLsn(lsn)} on timeline ${timeline}`;
  if (timeline === branch.timeline) {
    if (lsn <= branch.flushedLsn) return position;
    const end = formatLsn(branch.flushedLsn);
    throw new CairnError('log-gap', `${stored}, but the server's log ends at ${end}`, {
      hint: 'the server was set back to an older state: the archive begins anew',
    });
  }
  const at = branch.ended.findIndex((entry) => entry.timeline === timeline);
  const fork = branch.ended[at];
  if (!fork) {
    const text = `${stored}, which is not in the history of the server's timeline`;
    throw new CairnError('log-gap', `${text} ${branch.timeline}`, {
      hint: 'the server was recovered to another history: the archive begins anew',
    });
  }
  if (lsn <= fork.endLsn) return position;
  const next = branch.ended[at + 1]?.timeline ?? branch.timeline;
  return planBranchStart(next, fork.endLsn, branch.segmentBytes);
}
