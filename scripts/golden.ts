// Makes the golden repository of today's format version: test/fixtures/golden/v<version>/ with a
// small repository and expected.json, which says what it holds. Once it is committed it never
// changes: it stands for what users have stored. A new format version gets a new one beside it.
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { formatVersion } from '../src/repository/format.ts';
import { LocalStorage } from '../src/storage/local.ts';
import type { ModelFiles } from '../test/fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  pushFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from '../test/fixtures/repositories.ts';

/** Small, so that a file of 4 MiB has two parts of 8192 pages. */
const pageSizeBytes = 512;
const largePageBytes = 8192;
const masterKey = 'c0ffee'.padEnd(64, '0123456789abcdef');
const objectSizes = { packBytes: 16 * 1024, mapsBytes: 1024 };

/** Bytes that look random and are the same for the same text. */
function noise(text: string, lengthBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let i = 0; i * 32 < lengthBytes; i++) {
    pieces.push(createHash('sha256').update(`${text} ${i}`).digest());
  }
  return Buffer.concat(pieces).subarray(0, lengthBytes);
}

function firstFiles(): ModelFiles {
  const sparse = Buffer.alloc(8300 * pageSizeBytes + 77);
  noise('sparse', 9 * pageSizeBytes + 77).copy(sparse, 8291 * pageSizeBytes);
  noise('start', 3 * pageSizeBytes).copy(sparse, 20 * pageSizeBytes);
  return new Map([
    ['PG_VERSION', Buffer.from('18\n')],
    ['base/1/sparse', sparse],
    ['base/1/table', noise('table', 120 * pageSizeBytes)],
    ['base/1/unchanged', noise('unchanged', 30 * pageSizeBytes + 100)],
    ['base/1/removed', noise('removed', 5 * pageSizeBytes)],
    ['base/1/empty', Buffer.alloc(0)],
    ['base/1/zero', Buffer.alloc(10 * pageSizeBytes + 1)],
    ['global/pg_control', noise('control', pageSizeBytes)],
  ]);
}

/** Pages that compress well: they fill several packs with few bytes. */
function largePages(changed: number | null): ModelFiles {
  const bytes = Buffer.alloc(400 * largePageBytes);
  for (let page = 0; page < 400; page++) {
    const text = page === changed ? `changed ${page}.` : `page ${page}.`;
    bytes.fill(text, page * largePageBytes, (page + 1) * largePageBytes);
  }
  return new Map([['base/1/large', bytes]]);
}

/** Pages changed, made holes, filled, added, cut off; a file removed and one added. */
function secondFiles(): ModelFiles {
  const files = firstFiles();
  const table = Buffer.concat([files.get('base/1/table') ?? Buffer.alloc(0), noise('more', 700)]);
  for (const page of [3, 4, 40, 119]) {
    noise(`new ${page}`, pageSizeBytes).copy(table, page * pageSizeBytes);
  }
  table.fill(0, 50 * pageSizeBytes, 60 * pageSizeBytes);
  const sparse = (files.get('base/1/sparse') ?? Buffer.alloc(0)).subarray(0, 8295 * 512 + 1);
  const zero = Buffer.alloc(10 * pageSizeBytes + 1);
  noise('filled', 700).copy(zero, 3 * pageSizeBytes);
  files.delete('base/1/removed');
  files.set('base/1/table', table).set('base/1/sparse', sparse).set('base/1/zero', zero);
  return files.set('base/2/added', noise('added', 20 * pageSizeBytes));
}

function listDigests(files: ModelFiles): Record<string, { size: number; sha256: string }> {
  const entries = [...files].map(([path, bytes]) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return [path, { size: bytes.byteLength, sha256 }] as const;
  });
  return Object.fromEntries(entries);
}

const folder = resolve(import.meta.dirname, `../test/fixtures/golden/v${formatVersion}`);
// Fails when it is there already: a golden repository is never made anew.
await mkdir(folder);
const storage = await LocalStorage.open(`${folder}/repository`, systemRandom);
const opened = await openTestRepository(storage, MasterKey.parse(masterKey), { objectSizes });
const stories = [
  { small: firstFiles(), large: largePages(null) },
  { small: secondFiles(), large: largePages(200) },
];
const backups: { id: string; files: ReturnType<typeof listDigests> }[] = [];
for (const [index, { small, large }] of stories.entries()) {
  const backupId = testBackupId(index + 1);
  const previousBackupId = index > 0 ? testBackupId(index) : null;
  await using writer = await opened.repository.openWriter({
    ...{ instanceId: testInstanceId, backupId, previousBackupId },
    ...{ now: new Date(0), signal: never, log: silentLogger },
  });
  writer.directory({ path: 'base', mode: 0o700 });
  await pushFiles(writer, small, { pageSizeBytes });
  await pushFiles(writer, large, { pageSizeBytes: largePageBytes });
  await writer.commit(testFacts());
  backups.push({ id: backupId, files: listDigests(new Map([...small, ...large])) });
}
await opened.repository[Symbol.asyncDispose]();
await rm(`${folder}/repository/tmp`, { recursive: true });
const expected = { format: formatVersion, masterKey, backups };
await writeFile(`${folder}/expected.json`, `${JSON.stringify(expected, null, 2)}\n`);
