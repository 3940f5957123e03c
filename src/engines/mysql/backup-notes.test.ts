import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStartSettings } from './backup-notes.ts';

test('a table of replayed log gets the engine that it got on the old server', async () => {
  const settingsOf = (engine: string) =>
    readStartSettings(async (sql) =>
      /'default_storage_engine'/.test(sql)
        ? [
            { Variable_name: 'innodb_page_size', Value: '16384' },
            { Variable_name: 'default_storage_engine', Value: engine },
          ]
        : [],
    );
  const settings = { innodb_page_size: '16384', default_storage_engine: 'Aria' };
  assert.deepEqual(await settingsOf('Aria'), settings);
  // Of a plugin, without which a server would not start.
  assert.deepEqual(await settingsOf('ROCKSDB'), { innodb_page_size: '16384' });
});
