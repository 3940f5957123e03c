import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planStatus } from './replica-status.ts';

describe('the status of a replica', () => {
  it('is that of no replica when there is no row', () => {
    assert.deepEqual(planStatus([]), { kind: 'primary' });
  });

  it('is as bad as that of the worst of the servers that it follows', () => {
    const rows = [
      { Slave_IO_Running: 'Yes', Seconds_Behind_Master: 4 },
      { Slave_IO_Running: 'Connecting', Seconds_Behind_Master: '7' },
    ];
    assert.deepEqual(planStatus(rows), { kind: 'replica', isReceiving: false, lagMs: 7000 });
  });

  it('is understood in the newer words; what nobody knows stays unknown', () => {
    const rows = [{ Replica_IO_Running: 'Yes', Seconds_Behind_Source: null }];
    assert.deepEqual(planStatus(rows), { kind: 'replica', isReceiving: true, lagMs: null });
  });
});
