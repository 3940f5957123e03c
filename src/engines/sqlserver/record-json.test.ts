import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupRecord } from './backup-record.ts';
import { recordFromJson, recordToJson } from './record-json.ts';

const record: BackupRecord = {
  ...{ setId: 7, id: '0f8fad5b-d9cb-469f-a165-70867728950e', type: 'full', database: 'a]b' },
  ...{ serverName: null, userName: 'sa', device: null, differentialBaseId: null },
  // One more than a number of JavaScript keeps.
  ...{ firstLsn: 34000000017600037n, lastLsn: 9999999999999999999999999n },
  ...{ firstForkId: 'f1', lastForkId: 'f2', familyId: 'f3', isCopyOnly: false, isDamaged: false },
  ...{ hasChecksums: true, hasBulkLoggedData: true, offsetMinutes: -300 },
  ...{ startedLocal: '2026-11-24T21:00:00', finishedLocal: '2026-11-24T21:00:01' },
};

describe('a record as JSON', () => {
  it('comes back as it was, every digit of its positions included', () => {
    for (const one of [record, { ...record, offsetMinutes: null, userName: null }]) {
      assert.deepEqual(recordFromJson(JSON.parse(JSON.stringify(recordToJson(one)))), one);
    }
  });

  it('is damaged when anything of it is missing or odd', () => {
    const json = recordToJson(record);
    for (const name of Object.keys(json)) {
      for (const value of [undefined, '', [], Number.NaN]) {
        const changed = { ...json, [name]: value };
        const text = `${name} = ${JSON.stringify(value)}`;
        assert.throws(() => recordFromJson(changed), { kind: 'repository-damaged' }, text);
      }
    }
    for (const changes of [{ type: 'half' }, { lastLsn: 17 }, { lastLsn: '-1' }, { setId: '7' }]) {
      assert.throws(() => recordFromJson({ ...json, ...changes }), { kind: 'repository-damaged' });
    }
    for (const value of [null, 'x', 7]) {
      assert.throws(() => recordFromJson(value), { kind: 'repository-damaged' });
    }
  });
});
