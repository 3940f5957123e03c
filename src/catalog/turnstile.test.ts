import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isErrorKind } from '../model/errors.ts';
import { Turnstile } from './turnstile.ts';

const isBusy = (error: unknown): boolean => isErrorKind(error, 'storage-unavailable');

it('lets one in at a time, first come first served', async () => {
  const turns = new Turnstile({ waitersMax: 10, timeoutMs: 5_000 });
  const order: number[] = [];
  await turns.enter();
  const entered = [1, 2, 3].map(async (place) => {
    await turns.enter();
    order.push(place);
    turns.leave();
  });
  assert.deepEqual(order, []);
  turns.leave();
  await Promise.all(entered);
  assert.deepEqual(order, [1, 2, 3]);
  await turns.enter();
});

it('bounds the queue and the wait, and skips who has left it', async () => {
  const turns = new Turnstile({ waitersMax: 1, timeoutMs: 10 });
  await turns.enter();
  const waiting = turns.enter();
  await assert.rejects(turns.enter(), isBusy);
  await assert.rejects(waiting, isBusy);
  const next = turns.enter();
  turns.leave();
  await next;
});
