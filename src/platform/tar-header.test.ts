import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { GiB } from '../model/units.ts';
import type { TarEntry } from './tar-header.ts';
import {
  encodeTarHeader,
  tarBlockBytes,
  tarEndBytes,
  tarHeaderLength,
  tarPaddingLength,
} from './tar-header.ts';

const plain: TarEntry = {
  type: 'file',
  path: 'data/PG_VERSION',
  mode: 0o600,
  modifiedAt: new Date('2026-01-05T03:00:00.900Z'),
  sizeBytes: 0,
  target: '',
  owner: 'postgres',
};
const folder = `deep-${'x'.repeat(60)}`;

function list(...entries: readonly TarEntry[]): string {
  const heads = entries.map(encodeTarHeader);
  const input = Buffer.concat([...heads, Buffer.alloc(tarEndBytes)]);
  const tool = spawnSync('tar', ['-tvf', '-', '--quoting-style=literal', '--full-time'], {
    input,
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
  });
  assert.equal(tool.status, 0, String(tool.stderr));
  assert.equal(String(tool.stderr), '');
  return String(tool.stdout);
}

test('tar reads what was written', () => {
  const listed = list(
    plain,
    { ...plain, type: 'directory', path: 'data/base', mode: 0o750 },
    { ...plain, type: 'symlink', path: 'data/pg_tblspc/16384', target: '../../tablespaces/16384' },
    { ...plain, path: `data/${folder}/${folder}/file` },
    { ...plain, type: 'directory', path: `data/${folder}/${'y'.repeat(200)}` },
    { ...plain, path: 'data/Größe 表 🐘' },
    { ...plain, type: 'symlink', path: 'link', target: `${folder}/${folder}` },
  );
  const lines = listed.trimEnd().split('\n');
  const time = '2026-01-05 03:00:00';
  assert.match(
    lines[0] ?? '',
    new RegExp(`^-rw------- postgres/postgres +0 ${time} data/PG_VERSION$`),
  );
  assert.match(lines[1] ?? '', /^drwxr-x--- postgres\/postgres .* data\/base\/$/);
  assert.match(lines[2] ?? '', / data\/pg_tblspc\/16384 -> \.\.\/\.\.\/tablespaces\/16384$/);
  assert.ok(lines[3]?.endsWith(` data/${folder}/${folder}/file`));
  assert.ok(lines[4]?.endsWith(` data/${folder}/${'y'.repeat(200)}/`));
  assert.ok(lines[5]?.endsWith(' data/Größe 表 🐘'), lines[5]);
  assert.ok(lines[6]?.endsWith(` link -> ${folder}/${folder}`));
});

test('names of exactly 100 bytes need nothing more, longer ones do', () => {
  for (const [length, blocks] of [
    [100, 1],
    [101, 3],
  ] as const) {
    const entry = { ...plain, path: 'p'.repeat(length) };
    assert.equal(encodeTarHeader(entry).byteLength, blocks * tarBlockBytes);
    assert.equal(list(entry).trimEnd().split(' ').at(-1), entry.path);
  }
});

test('the length is known without making the head', () => {
  for (const path of ['a', 'p'.repeat(100), 'p'.repeat(101), 'p'.repeat(990), 'ä'.repeat(60)]) {
    for (const type of ['file', 'directory'] as const) {
      const entry = { ...plain, path, type };
      assert.equal(tarHeaderLength(entry), encodeTarHeader(entry).byteLength, `${type} ${path}`);
    }
  }
});

test('a file of 8 GiB and more keeps its size', () => {
  for (const sizeBytes of [8 * GiB - 1, 8 * GiB, 20 * GiB + 1]) {
    const entry = { ...plain, sizeBytes };
    assert.equal(tarHeaderLength(entry), encodeTarHeader(entry).byteLength);
    // tar lists an entry before it misses the bytes of it.
    const input = encodeTarHeader(entry);
    const tool = spawnSync('tar', ['-tvf', '-'], { input });
    assert.match(String(tool.stdout), new RegExp(` ${sizeBytes} `));
  }
});

test('padding fills the block', () => {
  assert.deepEqual([0, 1, 511, 512, 513].map(tarPaddingLength), [0, 511, 1, 0, 511]);
});
