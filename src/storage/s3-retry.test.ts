import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../platform/clock.ts';
import { silentLogger } from '../platform/logger.ts';
import { systemRandom } from '../platform/random.ts';
import { S3Refusal } from './s3-failure.ts';
import { planPause, retrying } from './s3-retry.ts';
import { Slots } from './slots.ts';

const patience = { attemptMs: 1_000, operationMs: 1_000, pauseMinMs: 1, pauseMaxMs: 4 };
const parts = { clock: systemClock, random: systemRandom, log: silentLogger, patience };
const signal = new AbortController().signal;
const fixed = (byte: number) => ({ ...systemRandom, bytes: (n: number) => Buffer.alloc(n, byte) });

describe('retries', () => {
  it('wait longer and longer, by chance, up to a limit', () => {
    const usual = { ...patience, pauseMinMs: 100, pauseMaxMs: 1_000 };
    assert.equal(planPause(usual, 1, fixed(0)), 100);
    const longest = [1, 2, 3, 4, 50].map((attempt) =>
      Math.round(planPause(usual, attempt, fixed(255))),
    );
    assert.deepEqual(longest, [200, 400, 800, 1_000, 1_000]);
  });

  it('are for what passes, and for a skewed clock once', async () => {
    const run = async (failures: readonly S3Refusal[]): Promise<number> => {
      let attempts = 0;
      await retrying(parts, { what: 'x', sizeBytes: 0, signal }, async (_, attempt) => {
        attempts = attempt;
        const failure = failures[attempt - 1];
        if (failure) throw failure;
      }).catch(() => undefined);
      return attempts;
    };
    const [busy, skew, denied] = (['slow-down', 'skew', 'denied'] as const).map(
      (failure) => new S3Refusal(failure, 'x'),
    );
    assert.ok(busy && skew && denied);
    assert.equal(await run([busy, busy, busy]), 4);
    assert.equal(await run([denied]), 1);
    assert.equal(await run([skew]), 2);
    assert.equal(await run([skew, skew, busy]), 2);
  });
});

describe('slots', () => {
  it('are given in order, and one that was given up is the next one’s', async () => {
    const slots = new Slots(1);
    const first = await slots.take(signal);
    const impatient = new AbortController();
    const order: string[] = [];
    const second = slots.take(impatient.signal).catch((error: Error) => order.push(error.message));
    const third = slots.take(signal).then((giveBack) => {
      order.push('third');
      giveBack();
    });
    impatient.abort(new Error('gave up'));
    await second;
    first();
    // Giving back twice must not make a slot more.
    first();
    await third;
    const last = await slots.take(signal);
    assert.deepEqual(order, ['gave up', 'third']);
    const none = await slots.take(AbortSignal.timeout(20)).then(
      () => 'taken',
      () => 'none',
    );
    assert.equal(none, 'none');
    last();
  });
});
