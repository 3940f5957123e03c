import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ErrorKind } from '../model/errors.ts';
import { CairnError, errorKinds } from '../model/errors.ts';
import { planAbandoned, planRetry } from './retry.ts';

const first = { attempt: 1, attemptsMax: 2, cancelRequested: false };
const last = { ...first, attempt: 2 };
const passing: readonly ErrorKind[] = ['engine-unreachable', 'storage-unavailable'];

it('tries again only what may pass by itself, while attempts remain', () => {
  for (const kind of errorKinds) {
    const error = new CairnError(kind, 'text', { hint: 'hint' });
    assert.equal(planRetry(first, error).kind, passing.includes(kind) ? 'retry' : 'fail', kind);
    assert.deepEqual(planRetry(last, error), {
      kind: 'fail',
      outcome: { status: 'failed', error: { kind, message: 'text', hint: 'hint' } },
    });
  }
});

it('ends as cancelled what somebody asked to cancel, whatever was thrown', () => {
  for (const kind of errorKinds) {
    const ending = planRetry({ ...first, cancelRequested: true }, new CairnError(kind, 'text'));
    assert.equal(ending.kind === 'fail' && ending.outcome.status, 'cancelled');
  }
});

it('gives an abandoned job its remaining attempts, then names the last', () => {
  assert.equal(planAbandoned(first).kind, 'retry');
  const ending = planAbandoned(last);
  assert.ok(ending.kind === 'fail' && ending.outcome.status === 'failed');
  assert.match(ending.outcome.error.message, /attempt 2 of 2/);
  const cancelled = planAbandoned({ ...first, cancelRequested: true });
  assert.ok(cancelled.kind === 'fail' && cancelled.outcome.status === 'cancelled');
});
