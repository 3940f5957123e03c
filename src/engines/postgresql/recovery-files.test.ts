import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import type { LogSource } from '../engine.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { planRecoveryFiles, planSegmentFiles } from './recovery-files.ts';

const segmentBytes = 1024 * 1024;
const never = new AbortController().signal;

/** In segments: 3.25 is a quarter of the way through the fourth. */
const lsn = (segments: number): bigint => BigInt(segments * segmentBytes);
const on = (timeline: number, segments: number): PostgresLogPosition => ({
  ...{ engine: 'postgresql', timeline, lsn: lsn(segments) },
});
const fork = (timeline: number, segments: number) => ({ timeline, endLsn: lsn(segments) });

/** `2:3 100%` is segment 3 of timeline 2, all of it. */
function plan(...[start, end, ended]: [PostgresLogPosition, PostgresLogPosition, Forks?]) {
  const files = planSegmentFiles({ start, end, ended: ended ?? [], segmentBytes });
  return files.map(({ name, usedBytes }) => {
    const [timeline, segment] = [name.slice(0, 8), name.slice(16)].map((hex) => parseInt(hex, 16));
    return `${timeline}:${segment} ${(usedBytes / segmentBytes) * 100}%`;
  });
}
type Forks = Parameters<typeof planSegmentFiles>[0]['ended'];

suite('the files of a recovery', () => {
  test('begin with the segment of the first byte and end with that of the last', () => {
    assert.deepEqual(plan(on(1, 3.5), on(1, 5.25)), ['1:3 100%', '1:4 100%', '1:5 25%']);
    assert.deepEqual(plan(on(1, 3.5), on(1, 5)), ['1:3 100%', '1:4 100%']);
    assert.deepEqual(plan(on(1, 3), on(1, 3)), []);
  });

  test('the segment in which a timeline ends is taken from the next one', () => {
    const forks = [fork(1, 4.5)];
    const expected = ['1:3 100%', '2:4 100%', '2:5 50%'];
    assert.deepEqual(plan(on(1, 3.5), on(2, 5.5), forks), expected);
    assert.deepEqual(plan(on(1, 4.25), on(2, 4.75), forks), ['2:4 75%']);
    assert.deepEqual(plan(on(2, 4.75), on(2, 5.5), forks), expected.slice(1));
  });

  test('a timeline that ends with a segment has that one for itself', () => {
    assert.deepEqual(plan(on(1, 3), on(2, 5), [fork(1, 4)]), ['1:3 100%', '2:4 100%']);
  });

  test('of several that end in one segment the last one counts', () => {
    const forks = [fork(1, 4.25), fork(2, 4.5), fork(5, 6.5)];
    const expected = ['1:3 100%', '5:4 100%', '5:5 100%', '7:6 100%', '7:7 50%'];
    assert.deepEqual(plan(on(1, 3), on(7, 7.5), forks), expected);
  });

  test('a backup must lie on the way to the end', async () => {
    const history = '1\t0/480000\twhy\n2\t0/640000\twhy\n';
    const accepts = async (start: PostgresLogPosition): Promise<boolean> => {
      const log: LogSource = {
        ...{ systemIdentifier: '7', startPosition: start, endPosition: on(3, 8) },
        readFile: async (name) => {
          assert.equal(name, '00000003.history');
          return { bytes: Buffer.from(history), isComplete: true };
        },
        listFiles: async () => assert.fail('its files have names that follow one another'),
        streamFile: () => assert.fail('they are small'),
      };
      const notes = { walSegmentBytes: segmentBytes, systemIdentifier: '7' };
      try {
        const files = await planRecoveryFiles(log, notes, never);
        assert.deepEqual(files.histories, { '00000003.history': history });
        return true;
      } catch (error) {
        assert.ok(error instanceof CairnError && error.kind === 'log-gap');
        return false;
      }
    };
    for (const start of [on(1, 4), on(1, 4.5), on(2, 4.5), on(2, 6.25), on(3, 6.25), on(3, 7)]) {
      assert.ok(await accepts(start), JSON.stringify(Number(start.lsn)));
    }
    // Behind the fork, or of a timeline that is no ancestor.
    for (const start of [on(1, 4.75), on(2, 6.5), on(4, 4)]) assert.ok(!(await accepts(start)));
  });
});
