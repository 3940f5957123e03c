// Which WAL segments lie between two log positions (PostgreSQL documentation, chapter "Reliability
// and the Write-Ahead Log", "WAL Internals"): the file name is the timeline and the segment number
// in two halves.
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';

export type PostgresLogPosition = Extract<LogPosition, { engine: 'postgresql' }>;

const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');

/** Where the segment that holds the position begins. */
export function segmentStart(lsn: bigint, segmentBytes: number): bigint {
  return lsn - (lsn % BigInt(segmentBytes));
}

/** The file name of the segment that holds the position. */
export function segmentFileName(
  { timeline, lsn }: Pick<PostgresLogPosition, 'timeline' | 'lsn'>,
  segmentBytes: number,
): string {
  return `${hex(BigInt(timeline))}${segmentNumberName(lsn / BigInt(segmentBytes), segmentBytes)}`;
}

export function historyFileName(timeline: number): string {
  return `${hex(BigInt(timeline))}.history`;
}

function segmentNumberName(number: bigint, segmentBytes: number): string {
  const segmentsPerHalf = 0x1_0000_0000n / BigInt(segmentBytes);
  return `${hex(number / segmentsPerHalf)}${hex(number % segmentsPerHalf)}`;
}

/**
 * The part of a segment's file name after the timeline, for each segment that the range touches.
 */
export function planSegments(startLsn: bigint, stopLsn: bigint, segmentBytes: number): string[] {
  const size = BigInt(segmentBytes);
  const names: string[] = [];
  // A range that ends at the first byte of a segment does not need that segment.
  for (let number = startLsn / size; number <= (stopLsn - 1n) / size; number++) {
    names.push(segmentNumberName(number, segmentBytes));
  }
  return names;
}

/**
 * Checks that every segment of the range was received whole; the timeline may change within the
 * range. Answers the path of the last one. @throws log-gap
 */
export function verifyLogRange(
  range: { readonly start: PostgresLogPosition; readonly stop: PostgresLogPosition },
  segmentBytes: number,
  received: ReadonlyMap<string, number>,
): string {
  const whole = new Map<string, string>();
  for (const [path, sizeBytes] of received) {
    const match = /^pg_wal\/[0-9A-F]{8}([0-9A-F]{16})$/.exec(path);
    if (!match?.[1] || sizeBytes !== segmentBytes) continue;
    // The same number may be there on two timelines: the newer one counts.
    if (path > (whole.get(match[1]) ?? '')) whole.set(match[1], path);
  }
  let last = '';
  for (const name of planSegments(range.start.lsn, range.stop.lsn, segmentBytes)) {
    const path = whole.get(name);
    if (path !== undefined) {
      last = path;
      continue;
    }
    throw new CairnError('log-gap', `the base backup lacks WAL segment ${name}`, {
      hint: 'take the backup again; raise wal_keep_size when it happens again',
    });
  }
  return last;
}
