// From a moment to what STOPAT takes: the time that the clock of the server showed which wrote the
// log, without a zone. Commits in the log carry that time, whatever the zone of the server that
// restores it. A clock that goes back shows an hour twice, and STOPAT cannot tell one from the
// other. Pure. (SQL Server documentation, "RESTORE arguments", "AT TIME ZONE".)
import { CairnError } from '../../model/errors.ts';
import type { BackupRecord } from './backup-record.ts';

/** How far the clock was from UTC at some moment, as it was observed. */
export type OffsetSample = { readonly at: Date; readonly offsetMinutes: number };

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** Between two samples that far apart the clock may have been changed and changed back. */
const sampleGapMaxMs = 7 * dayMs;

/**
 * `2026-11-24T21:00:00.000` by the server's clock. The samples, in any order, must lie on both
 * sides of the moment. @throws invalid where the time would be ambiguous, or cannot be known
 */
export function planStopAt(at: Date, samples: readonly OffsetSample[]): string {
  const sorted = samples.toSorted((a, b) => a.at.getTime() - b.at.getTime());
  const offsetMinutes = offsetAt(at, sorted);
  const localMs = at.getTime() + offsetMinutes * minuteMs;
  const twice = transitions(sorted).find(
    ({ before, after }) =>
      // It went back somewhere between the two: the earliest and the latest that it can have shown.
      localMs >= before.at.getTime() + after.offsetMinutes * minuteMs &&
      localMs <= after.at.getTime() + before.offsetMinutes * minuteMs,
  );
  if (twice !== undefined) {
    throw refusal(`${at.toISOString()} lies where the server's clock was put back`);
  }
  return formatLocal(localMs);
}

/** The samples that backups are: each tells the clock's offset when it began. */
export function backupSamples(records: readonly BackupRecord[]): readonly OffsetSample[] {
  return records.flatMap(({ startedLocal, offsetMinutes }) => {
    if (offsetMinutes === null) return [];
    return [{ at: localToUtc(startedLocal, offsetMinutes), offsetMinutes }];
  });
}

/** @throws invalid when it is no time of the form `2026-11-24T21:00:00` */
export function localToUtc(localTime: string, offsetMinutes: number): Date {
  const ms = Date.parse(`${localTime}Z`);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?$/.test(localTime) || Number.isNaN(ms)) {
    throw new CairnError('invalid', `${JSON.stringify(localTime)} is not a time of the server`);
  }
  return new Date(ms - offsetMinutes * minuteMs);
}

function offsetAt(at: Date, sorted: readonly OffsetSample[]): number {
  const before = sorted.findLast((sample) => sample.at <= at);
  const after = sorted.find((sample) => sample.at >= at);
  if (before === undefined || after === undefined) {
    throw refusal(`the clock of the server at ${at.toISOString()} is not known`);
  }
  if (before.offsetMinutes !== after.offsetMinutes) {
    throw refusal(`the server's clock was changed around ${at.toISOString()}`);
  }
  if (after.at.getTime() - before.at.getTime() > sampleGapMaxMs) {
    throw refusal(`the clock of the server at ${at.toISOString()} is not known for certain`);
  }
  return before.offsetMinutes;
}

function transitions(
  sorted: readonly OffsetSample[],
): readonly { readonly before: OffsetSample; readonly after: OffsetSample }[] {
  return sorted.flatMap((after, index) => {
    const before = sorted[index - 1];
    return before !== undefined && after.offsetMinutes < before.offsetMinutes
      ? [{ before, after }]
      : [];
  });
}

function refusal(message: string): CairnError {
  return new CairnError('invalid', message, {
    hint: 'Give a log sequence number instead, or a time some hours earlier or later.',
  });
}

function formatLocal(localMs: number): string {
  return new Date(localMs).toISOString().replace('Z', '');
}
