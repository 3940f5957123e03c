import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  editManifest,
  parseBackupManifest,
  readEntries,
  replaceInManifest,
} from './backup-manifest.ts';
import { crc32c } from './crc32c.ts';

const map = Buffer.from('16385 /srv/fast\n');

function reversedHex(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
}

function close(body: string): Buffer {
  const checksum = createHash('sha256').update(body).digest('hex');
  return Buffer.from(`${body}"Manifest-Checksum": "${checksum}"}\n`);
}

const modified = '"Last-Modified": "2026-01-02 03:04:05 GMT", "Checksum-Algorithm": "CRC32C"';
const mapChecksum = reversedHex(crc32c(map));
const body = `{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "backup_label", "Size": 227, ${modified}, "Checksum": "6f2a0a52" },
{ "Path": "tablespace_map", "Size": ${map.length}, ${modified}, "Checksum": "${mapChecksum}" },
{ "Encoded-Path": "62617365", "Size": 3, "Last-Modified": "2026-01-02 03:04:05 GMT" },
{ "Path": "global/pg_control", "Size": 8192, "Last-Modified": "2026-01-02 03:04:05 GMT" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
],
`;

test('CRC-32C is that of RFC 3720', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
});

test('files are listed with their sizes', () => {
  assert.deepEqual(parseBackupManifest(close(body)), [
    { path: 'backup_label', sizeBytes: 227 },
    { path: 'tablespace_map', sizeBytes: map.length },
    { path: 'base', sizeBytes: 3 },
    { path: 'global/pg_control', sizeBytes: 8192 },
  ]);
});

test('files are found in any layout of the JSON', () => {
  const other = close(
    body.replace('{ "Path": "global', '  {"Path":"global').replace('8192,', '8192 ,'),
  );
  const paths = parseBackupManifest(other).map((file) => file.path);
  assert.deepEqual(paths.toSorted(), [
    'backup_label',
    'base',
    'global/pg_control',
    'tablespace_map',
  ]);
});

test('a changed byte anywhere is noticed', () => {
  const whole = close(body);
  for (let at = 0; at < whole.length; at += 7) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 0x01;
    assert.throws(() => parseBackupManifest(changed), { kind: 'engine-refused' });
  }
  assert.throws(() => parseBackupManifest(whole.subarray(0, -5)), { kind: 'engine-refused' });
  assert.throws(() => parseBackupManifest(Buffer.alloc(0)), { kind: 'engine-refused' });
});

test('unknown versions are refused', () => {
  const text = close(body.replace('Version": 1', 'Version": 3'));
  assert.throws(() => parseBackupManifest(text), /its version is 3/);
});

test('replacing a file changes its entry and the closing checksum only', () => {
  const next = Buffer.from('16385 /somewhere/else\n');
  const manifest = replaceInManifest(close(body), 'tablespace_map', { old: map, new: next });
  const files = parseBackupManifest(manifest);
  assert.equal(files.find((file) => file.path === 'tablespace_map')?.sizeBytes, next.length);
  assert.equal(files.length, 4);
  assert.ok(manifest.includes(`"Checksum": "${reversedHex(crc32c(next))}"`));
});

test('an old content that does not fit is refused', () => {
  const old = Buffer.from('something else\n');
  assert.throws(() => replaceInManifest(close(body), 'tablespace_map', { old, new: map }), {
    kind: 'repository-damaged',
  });
  assert.throws(() => replaceInManifest(close(body), 'missing', { old, new: map }), {
    kind: 'repository-damaged',
  });
});

test('edited entries stand in the place of the old ones, the rest stays as it is', () => {
  const edited = editManifest(close(body), (entry) => {
    if (entry.Path !== 'backup_label') return entry;
    const { Checksum: _, 'Checksum-Algorithm': __, ...rest } = entry;
    return { ...rest, Path: 'other "name"', Size: 5 };
  });
  const line =
    '{ "Path": "other \\"name\\"", "Size": 5, "Last-Modified": "2026-01-02 03:04:05 GMT" },';
  const lines = body.split('\n');
  assert.equal(
    edited.toString(),
    close([...lines.slice(0, 2), line, ...lines.slice(3)].join('\n')).toString(),
  );
  assert.deepEqual(parseBackupManifest(edited)[0], { path: 'other "name"', sizeBytes: 5 });
  assert.ok(editManifest(close(body), (entry) => entry).equals(close(body)));
});

test('entries are read from pieces cut anywhere', async () => {
  const manifest = close(body);
  for (const pieceBytes of [1, 10, 200, 10_000]) {
    async function* pieces() {
      for (let at = 0; at < manifest.length; at += pieceBytes) {
        yield manifest.subarray(at, at + pieceBytes);
      }
    }
    const entries = await Array.fromAsync(readEntries(pieces()));
    assert.deepEqual(
      entries.map((entry) => entry.Size),
      [227, map.length, 3, 8192],
    );
  }
});
