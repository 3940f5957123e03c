import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { OffsetSample } from './plan-stop-at.ts';
import { backupSamples, localToUtc, planStopAt } from './plan-stop-at.ts';
import { offsetSpanMinutes, offsetStepMinutes } from './tsql-session.ts';

const minuteMs = 60_000;

const formats = new Map<string, Intl.DateTimeFormat>();

/** What a server in a zone answers, from the tables of this machine. */
function offsetIn(timeZone: string, at: Date): number {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  formats.set(timeZone, format);
  const name = format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(name) ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
}

function samplesAround(timeZone: string, at: Date): readonly OffsetSample[] {
  const count = (2 * offsetSpanMinutes) / offsetStepMinutes + 1;
  return Array.from({ length: count }, (_, index) => {
    const minutes = index * offsetStepMinutes - offsetSpanMinutes;
    const moment = new Date(at.getTime() + minutes * minuteMs);
    return { at: moment, offsetMinutes: offsetIn(timeZone, moment) };
  });
}

const stopAt = (timeZone: string, utc: string): string =>
  planStopAt(new Date(utc), samplesAround(timeZone, new Date(utc)));

suite('the time that STOPAT takes', () => {
  test('is what the clock of the server showed at the moment, not now', () => {
    assert.equal(stopAt('UTC', '2026-11-24T21:00:00.123Z'), '2026-11-24T21:00:00.123');
    assert.equal(stopAt('Europe/Berlin', '2026-07-01T21:30:00Z'), '2026-07-01T23:30:00.000');
    assert.equal(stopAt('Europe/Berlin', '2026-12-31T23:30:00Z'), '2027-01-01T00:30:00.000');
    assert.equal(stopAt('America/New_York', '2026-01-01T00:00:00Z'), '2025-12-31T19:00:00.000');
    assert.equal(stopAt('Asia/Kathmandu', '2026-01-01T00:00:00Z'), '2026-01-01T05:45:00.000');
  });

  test('goes through the spring, when an hour is left out', () => {
    assert.equal(stopAt('Europe/Berlin', '2026-03-29T00:30:00Z'), '2026-03-29T01:30:00.000');
    assert.equal(stopAt('Europe/Berlin', '2026-03-29T01:30:00Z'), '2026-03-29T03:30:00.000');
  });

  test('is refused in both of the hours that the clock shows alike, with a way out', () => {
    for (const utc of ['00:00:00', '00:30:00', '00:59:59', '01:00:00', '01:30:00', '01:59:59']) {
      assert.throws(
        () => stopAt('Europe/Berlin', `2026-10-25T${utc}Z`),
        { kind: 'invalid', message: /clock was (put back|changed)/, hint: /log sequence number/ },
        utc,
      );
    }
    assert.equal(stopAt('Europe/Berlin', '2026-10-24T23:30:00Z'), '2026-10-25T01:30:00.000');
    assert.equal(stopAt('Europe/Berlin', '2026-10-25T02:15:00Z'), '2026-10-25T03:15:00.000');
    // Half an hour is put back on Lord Howe.
    assert.throws(() => stopAt('Australia/Lord_Howe', '2026-04-04T14:45:00Z'), /put back|changed/);
    assert.throws(() => stopAt('Australia/Lord_Howe', '2026-04-04T15:15:00Z'), /put back|changed/);
  });

  test('never stands for two moments, in a year of some zones', () => {
    for (const zone of ['Europe/Berlin', 'America/St_Johns', 'Africa/Casablanca', 'Asia/Tehran']) {
      const shown = new Map<string, number>();
      for (let hour = 0; hour < 365 * 24; hour += 1) {
        const at = new Date(Date.UTC(2026, 0, 1, hour, 30));
        const offset = offsetIn(zone, at);
        const local = new Date(at.getTime() + offset * minuteMs).toISOString();
        shown.set(local, (shown.get(local) ?? 0) + 1);
        const isNearChange = [-4, 4].some((hours) => {
          return offsetIn(zone, new Date(at.getTime() + hours * 60 * minuteMs)) !== offset;
        });
        if (!isNearChange) continue;
        try {
          const stop = planStopAt(at, samplesAround(zone, at));
          assert.equal(`${stop}Z`, local);
        } catch {
          shown.set(local, 0);
        }
      }
      for (const [local, count] of shown) assert.ok(count < 2, `${zone} ${local}`);
    }
  });

  test('is not guessed', () => {
    const at = new Date('2026-11-24T21:00:00Z');
    const sample = (utc: string, offsetMinutes: number) => ({ at: new Date(utc), offsetMinutes });
    const before = sample('2026-11-24T20:00:00Z', 60);
    assert.throws(() => planStopAt(at, []), /not known/);
    assert.throws(() => planStopAt(at, [before]), /not known/);
    assert.throws(() => planStopAt(at, [sample('2026-11-24T22:00:00Z', 60)]), /not known/);
    assert.throws(
      () => planStopAt(at, [before, sample('2026-11-24T22:00:00Z', 0)]),
      /clock was changed/,
    );
    assert.throws(
      () => planStopAt(at, [before, sample('2026-12-24T22:00:00Z', 60)]),
      /not known for certain/,
    );
    const later = sample('2026-11-24T21:10:00Z', 60);
    assert.equal(planStopAt(at, [later, before]), '2026-11-24T22:00:00.000');
    // Put back between the two that follow: what 22:00 was, is open.
    const back = sample('2026-11-24T22:10:00Z', 0);
    assert.throws(() => planStopAt(at, [before, later, back]), /put back/);
  });

  test('can rest on the offsets that backups were taken at', () => {
    const record = (startedLocal: string, offsetMinutes: number | null) =>
      ({ startedLocal, offsetMinutes }) as Parameters<typeof backupSamples>[0][number];
    const samples = backupSamples([
      record('2026-11-24T21:00:00', 60),
      record('2026-11-24T21:30:00', null),
      record('2026-11-24T22:00:00', 60),
    ]);
    assert.deepEqual(samples[0]?.at, new Date('2026-11-24T20:00:00Z'));
    assert.equal(samples.length, 2);
    assert.equal(planStopAt(new Date('2026-11-24T20:30:00Z'), samples), '2026-11-24T21:30:00.000');
    for (const text of ['', '2026-11-24 21:00:00', '2026-11-24T21:00:00Z', '2026-13-24T21:00:00']) {
      assert.throws(() => localToUtc(text, 0), /not a time/);
    }
  });
});
