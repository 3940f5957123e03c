import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameWork } from './extract-plan.ts';
import { alternateTargets, interleave, planRuns } from './extract-plan.ts';
import type { FrameSpan } from './sealed-object.ts';

test('lists are taken from in turn, a new one in the place of one that is used up', () => {
  const lists = [['a1', 'a2', 'a3'], ['b1'], [], ['c1', 'c2'], ['d1']];
  assert.deepEqual([...interleave(lists, 2)], ['a1', 'b1', 'a2', 'c1', 'a3', 'c2', 'd1']);
  assert.deepEqual([...interleave(lists, 1)], lists.flat());
  assert.deepEqual([...interleave(lists, 9)].toSorted(), lists.flat().toSorted());
  assert.deepEqual([...interleave([], 2)], []);
});

const write = { positionBytes: 0, offsetBytes: 0, lengthBytes: 1, pageBytes: 1 };
const workOf = (frame: number, target: string): FrameWork<string> => {
  return { packName: 'p', frame, writes: [{ ...write, digests: new Uint8Array(), target }] };
};
const spansOf = (...sizes: number[]): FrameSpan[] => {
  let offsetBytes = 100;
  return sizes.map((sealedBytes) => {
    const span = { offsetBytes, sealedBytes, rawBytes: 1 };
    offsetBytes += sealedBytes;
    return span;
  });
};

test('runs that write to one file do not follow each other while there are others', () => {
  const runs = ['a', 'a', 'a', 'b', 'b', 'c'].flatMap((target, frame) =>
    planRuns('p', [workOf(frame, target)], spansOf(1, 1, 1, 1, 1, 1)),
  );
  const order = [...alternateTargets(runs)].map(({ frames }) => frames[0]?.writes[0]?.target);
  assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a']);
});

test('neighbours of one file are read at once, each cut out where it lies', () => {
  const spans = spansOf(10, 20, 30, 40, 50);
  const frames = [3, 1, 0, 4].map((frame) => workOf(frame, frame === 4 ? 'b' : 'a'));
  const runs = planRuns('p', frames, spans).map(({ frames: each, ...range }) => ({
    ...range,
    frames: each.map(({ frame, startBytes, endBytes }) => [frame, startBytes, endBytes]),
  }));
  const packName = 'p';
  assert.deepEqual(runs, [
    {
      ...{ packName, offsetBytes: 100, lengthBytes: 30 },
      frames: [
        [0, 0, 10],
        [1, 10, 30],
      ],
    },
    { packName, offsetBytes: 160, lengthBytes: 40, frames: [[3, 0, 40]] },
    { packName, offsetBytes: 200, lengthBytes: 50, frames: [[4, 0, 50]] },
  ]);
});

test('runs are bounded, and a frame that the pack lacks is damage', () => {
  const many = Array.from({ length: 20 }, (_, frame) => workOf(frame, 'a'));
  const small = planRuns('p', many, spansOf(...many.map(() => 10)));
  assert.deepEqual(
    small.map(({ frames }) => frames.length),
    [8, 8, 4],
  );
  const large = planRuns('p', many, spansOf(...many.map(() => 1_000_000)));
  assert.ok(large.every(({ lengthBytes }) => lengthBytes <= 2 * 1024 * 1024));
  assert.throws(() => planRuns('p', many, spansOf(1)), { kind: 'repository-damaged' });
});
