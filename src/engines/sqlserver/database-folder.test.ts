import assert from 'node:assert/strict';
import { test } from 'node:test';
import { databaseFolder } from './database-folder.ts';

test('two databases never share a folder, also where a server tells only their case apart', () => {
  const folders = ['shop', 'Shop', 'SHOP', 'shop2'].map(databaseFolder);
  assert.equal(new Set(folders).size, folders.length);
  for (const folder of folders) assert.match(folder, /^[0-9a-f]{16}$/);
});
