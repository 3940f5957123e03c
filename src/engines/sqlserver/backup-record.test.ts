import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseBackupRow } from './backup-record.ts';
import { planForeign } from './plan-foreign.ts';

const row: Readonly<Record<string, unknown>> = {
  ...{ backup_set_id: 7, backup_set_uuid: '6F9619FF-8B86-D011-B42D-00C04FC964FF', type: 'D' },
  ...{ database_name: 'shop', server_name: 'DB1', user_name: 'cairn', physical_device_name: null },
  ...{ first_lsn: '34000000017600037', last_lsn: '34000000017620001' },
  ...{ differential_base_guid: null, first_recovery_fork_guid: 'A', last_recovery_fork_guid: 'A' },
  ...{ family_guid: 'F', is_copy_only: false, is_damaged: false, has_backup_checksums: true },
  ...{ has_bulk_logged_data: false, started_at: '2026-11-24T21:00:00', time_zone: -20 },
  ...{ finished_at: '2026-11-24T21:05:00' },
};

const record = (other: Readonly<Record<string, unknown>>) => parseBackupRow({ ...row, ...other });

suite('a row of the history of backups', () => {
  test('keeps positions to the last digit, and the offset of the clock', () => {
    const parsed = record({});
    assert.equal(parsed.firstLsn, 34000000017600037n);
    assert.equal(parsed.offsetMinutes, -300);
    assert.equal(parsed.id, '6f9619ff-8b86-d011-b42d-00c04fc964ff');
    assert.equal(parsed.type, 'full');
    assert.equal(record({ type: 'L' }).type, 'log');
    assert.equal(record({ type: 'P' }).type, 'partial');
    assert.equal(record({ type: 'Q' }).type, 'partial-differential');
  });

  test('knows what it does not know', () => {
    assert.equal(record({ time_zone: 127 }).offsetMinutes, null);
    assert.equal(record({ time_zone: null }).offsetMinutes, null);
    assert.equal(record({ time_zone: 56 }).offsetMinutes, 14 * 60);
    // -20 in a byte without a sign: no such zone, and STOPAT would be days away.
    assert.equal(record({ time_zone: 236 }).offsetMinutes, null);
  });

  test('is refused where something is missing that a chain rests on', () => {
    for (const other of [
      ...[{ type: 'X' }, { type: null }, { first_lsn: null }, { first_lsn: 3.4e16 }],
      ...[{ backup_set_id: '7' }, { is_copy_only: null }, { is_damaged: 0 }],
      ...[{ last_recovery_fork_guid: null }, { backup_set_uuid: '' }, { started_at: null }],
    ]) {
      assert.throws(() => record(other), { kind: 'engine-refused' }, JSON.stringify(other));
    }
  });
});

suite('backups of other tools', () => {
  const own = record({ backup_set_id: 10, backup_set_uuid: 'own-full' });
  const ids = new Set(['own-full', 'own-log']);
  const other = (changes: Readonly<Record<string, unknown>>) =>
    record({
      ...{ backup_set_id: 11, backup_set_uuid: 'other', last_lsn: '34000000017630001' },
      ...{ finished_at: '2026-11-24T22:00:00', ...changes },
    });

  test('break our chain when they are full, or of the log', () => {
    const full = planForeign([own, other({})], ids);
    assert.deepEqual(
      full.foreign.map(({ effect }) => effect),
      ['differential-base'],
    );
    assert.equal(full.mustBeFull, true);
    const log = planForeign([own, other({ type: 'L' })], ids);
    assert.equal(log.foreign[0]?.effect, 'log-chain');
    assert.equal(log.mustBeFull, true);
    // Of one file: the next differential has two bases.
    assert.equal(planForeign([own, other({ type: 'F' })], ids).mustBeFull, true);
  });

  test('do not when they are copies, parts or differentials', () => {
    for (const changes of [
      ...[{ is_copy_only: true }, { type: 'L', is_copy_only: true }, { type: 'I' }, { type: 'G' }],
    ]) {
      const plan = planForeign([own, other(changes)], ids);
      assert.equal(plan.foreign[0]?.effect, 'none', JSON.stringify(changes));
      assert.equal(plan.mustBeFull, false);
    }
  });

  test('are over with the next full backup of ours, unless that was a copy', () => {
    const older = other({ finished_at: '2026-11-24T20:00:00' });
    const inside = other({ type: 'L', last_lsn: '34000000017620001' });
    assert.equal(planForeign([own, inside], ids).mustBeFull, false);
    assert.equal(planForeign([own, older], ids).mustBeFull, false);
    const copy = record({ backup_set_id: 10, backup_set_uuid: 'own-full', is_copy_only: true });
    assert.equal(planForeign([copy, older], ids).mustBeFull, true);
    assert.equal(planForeign([older], ids).mustBeFull, true);
  });

  test('are none of ours', () => {
    const log = record({ backup_set_id: 11, backup_set_uuid: 'own-log', type: 'L' });
    assert.deepEqual(planForeign([own, log], ids), { foreign: [], mustBeFull: false });
  });
});
