import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import type { BackupDevices, ServerPlatform } from './devices.ts';
import { checkDevices, checkPath } from './devices.ts';

const paths: readonly (readonly [ServerPlatform, string, 'taken' | 'refused'])[] = [
  ['windows', 'D:\\backups\\shop.bak', 'taken'],
  ['windows', 'd:/backups/shop.bak', 'taken'],
  ['windows', '\\\\files\\backups\\shop.bak', 'taken'],
  ['windows', 'D:\\backups\\console.bak', 'taken'],
  ['windows', 'D:\\bäckups\\a b (2)\\sh-op_1.bak', 'taken'],
  // Written to one of these, a backup is gone, and the server says that it has succeeded.
  ['windows', 'NUL', 'refused'],
  ['windows', 'D:\\backups\\NUL', 'refused'],
  ['windows', 'D:\\backups\\nul.bak', 'refused'],
  ['windows', 'D:\\COM1\\shop.bak', 'refused'],
  ['windows', '\\\\.\\tape0', 'refused'],
  ['windows', '\\\\?\\C:\\shop.bak', 'refused'],
  ['windows', 'D:\\backups\\shop.bak:stream', 'refused'],
  ['windows', 'D:\\backups\\shop.bak.', 'refused'],
  ['windows', 'D:\\backups \\shop.bak', 'refused'],
  ['windows', 'D:\\backups\\..\\shop.bak', 'refused'],
  ['windows', 'shop.bak', 'refused'],
  ['windows', 'D:shop.bak', 'refused'],
  ['windows', '/backups/shop.bak', 'refused'],
  ['windows', '\\\\files', 'refused'],
  ['windows', '', 'refused'],
  ['linux', '/backup/shop.bak', 'taken'],
  ['linux', "/backup/it's [a] shop;--.bak", 'taken'],
  ['linux', 'backup/shop.bak', 'refused'],
  ['linux', '/backup/../shop.bak', 'refused'],
  ['linux', '/backup/shop\n.bak', 'refused'],
  ['linux', '/backup/shop\0.bak', 'refused'],
  ['linux', `/${'x'.repeat(258)}`, 'taken'],
  ['linux', `/${'x'.repeat(259)}`, 'refused'],
];

const urls: readonly (readonly [string, 'taken' | 'refused'])[] = [
  ['s3://store.example:9000/backups/shop.bak', 'taken'],
  ['s3://backups.store.example/a/b/shop.bak', 'taken'],
  [`s3://h/b/${'x'.repeat(250)}`, 'taken'],
  [`s3://h/b/${'x'.repeat(251)}`, 'refused'],
  ['https://store.example/backups/shop.bak', 'refused'],
  ['s3://store.example', 'refused'],
  ['s3://store.example/', 'refused'],
  ['s3://store.example//shop.bak', 'refused'],
  ['s3://store.example/backups/../shop.bak', 'refused'],
  ['s3://store.example/backups/shop.bak?x=1', 'refused'],
  ['s3://user:pw@store.example/backups/shop.bak', 'refused'],
  ["s3://store.example/backups/sh'op.bak", 'refused'],
  ['s3://store.example/backups/shöp.bak', 'refused'],
];

function outcome(check: () => unknown): 'taken' | 'refused' {
  try {
    check();
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof CairnError, String(error));
    assert.equal(error.kind, 'invalid');
    return 'refused';
  }
}

suite('where a backup lies', () => {
  for (const [platform, path, expected] of paths) {
    test(`${JSON.stringify(path).slice(0, 60)} on ${platform}: ${expected}`, () => {
      assert.equal(
        outcome(() => checkPath(path, platform)),
        expected,
      );
    });
  }

  for (const [url, expected] of urls) {
    test(`${url.slice(0, 60)}: ${expected}`, () => {
      assert.equal(
        outcome(() => checkDevices({ kind: 's3', urls: [url], region: null })),
        expected,
      );
    });
  }

  test('takes 1 to 64 devices, each once', () => {
    const numbered = (count: number): BackupDevices => ({
      kind: 'disk',
      platform: 'linux',
      paths: Array.from({ length: count }, (_, index) => `/backup/${index}`),
    });
    assert.equal(
      outcome(() => checkDevices(numbered(64))),
      'taken',
    );
    assert.throws(() => checkDevices(numbered(65)), /65 devices/);
    assert.throws(() => checkDevices(numbered(0)), /0 devices/);
    const twice = { ...numbered(0), paths: ['/backup/A', '/backup/a'] } as BackupDevices;
    assert.throws(() => checkDevices(twice), /same name/);
  });

  test('refuses a region that would have to be quoted', () => {
    const region = `eu"}}', MIRROR TO DISK = 'x`;
    assert.throws(() => checkDevices({ kind: 's3', urls: ['s3://h/b/a'], region }), /region/);
  });
});
