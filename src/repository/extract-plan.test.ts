import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameWork } from './extract-plan.ts';
import { alternateTargets, interleave } from './extract-plan.ts';

test('lists are taken from in turn, a new one in the place of one that is used up', () => {
  const lists = [['a1', 'a2', 'a3'], ['b1'], [], ['c1', 'c2'], ['d1']];
  assert.deepEqual([...interleave(lists, 2)], ['a1', 'b1', 'a2', 'c1', 'a3', 'c2', 'd1']);
  assert.deepEqual([...interleave(lists, 1)], lists.flat());
  assert.deepEqual([...interleave(lists, 9)].toSorted(), lists.flat().toSorted());
  assert.deepEqual([...interleave([], 2)], []);
});

test('frames that write to one file do not follow each other while there are others', () => {
  const write = { positionBytes: 0, offsetBytes: 0, lengthBytes: 1, pageBytes: 1 };
  const frames = ['a', 'a', 'a', 'b', 'b', 'c'].map((target, frame): FrameWork<string> => {
    return { packName: 'p', frame, writes: [{ ...write, digests: new Uint8Array(), target }] };
  });
  const order = [...alternateTargets(frames)].map(({ writes }) => writes[0]?.target);
  assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a']);
});
