import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrorKind } from '../model/errors.ts';
import { planClaims } from './s3-claim.ts';

const at = (minute: number): Date => new Date(Date.UTC(2026, 0, 1, 12, minute));
const claim = (name: string, minute: number) => ({ name, sizeBytes: 1, modifiedAt: at(minute) });

describe('claims', () => {
  it('count until they are 15 minutes older than ours, by the clock of the store', () => {
    const claims = [
      claim('b', 0),
      claim('a', 14),
      claim('mine', 20),
      claim('c', 5),
      claim('d', 30),
    ];
    assert.deepEqual(planClaims(claims, 'mine'), { alive: ['a', 'd'], stale: ['b', 'c'] });
  });

  it('prove nothing where a listing lacks our own', () => {
    assert.throws(
      () => planClaims([claim('a', 0)], 'mine'),
      (error) => isErrorKind(error, 'storage-unavailable'),
    );
  });
});
