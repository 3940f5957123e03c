import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from './gate.ts';

const openGate = (): Gate =>
  new Gate({ runningMax: 2, waitingMax: 3, refusal: () => new Error('full') });

test('so many run, so many wait in order, the next is refused', async () => {
  const gate = openGate();
  const holds = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const begun: number[] = [];
  const runs = holds.map(({ promise }, index) =>
    gate.run(async () => {
      begun.push(index);
      await promise;
      return index;
    }),
  );
  await assert.rejects(
    gate.run(async () => undefined),
    /full/,
  );
  assert.deepEqual(begun, [0, 1]);
  holds[1]?.resolve();
  await runs[1];
  for (const { resolve } of holds) resolve();
  assert.deepEqual(await Promise.all(runs), [0, 1, 2, 3, 4]);
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
});

test('work that fails gives its place back', async () => {
  const gate = openGate();
  const fail = (): Promise<never> => gate.run(() => Promise.reject(new Error('no')));
  await Promise.all(Array.from({ length: 5 }, () => assert.rejects(fail(), /no/)));
  assert.equal(await gate.run(async () => 'again'), 'again');
});

test('who has waited long enough leaves, and takes no place from others', async () => {
  const gate = openGate();
  const hold = Promise.withResolvers<void>();
  const running = [gate.run(() => hold.promise), gate.run(() => hold.promise)];
  const patience = new AbortController();
  let ran = false;
  const left = gate.run(async () => {
    ran = true;
  }, patience.signal);
  const stays = gate.run(async () => 'stayed');
  patience.abort();
  await assert.rejects(left, /full/);
  hold.resolve();
  await Promise.all(running);
  assert.equal(await stays, 'stayed');
  assert.equal(ran, false);
  // Both places are free again.
  const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const begun = both.map(({ promise, resolve }) =>
    gate.run(async () => {
      resolve();
      await promise;
    }),
  );
  await Promise.all(begun);
});
