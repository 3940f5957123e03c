// File maps at the borders of their parts, and manifests that say what no writer writes.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isErrorKind } from '../src/model/errors.ts';
import type {
  DirectoryEntry,
  FileEntry,
  ManifestHeader,
  TableEntry,
} from '../src/repository/manifest.ts';
import { decodeManifest, encodeTable } from '../src/repository/manifest.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const pageSizeBytes = 512;
const partBytes = 8192 * pageSizeBytes;

describe('file maps of several parts', () => {
  it('give back every byte when files grow and shrink around the border of a part', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const source = randomBytes(2 * partBytes + 5_000);
    let number = 1;
    const size = fc
      .tuple(fc.constantFrom(0, partBytes, 2 * partBytes), fc.integer({ min: -1_100, max: 1_100 }))
      .map(([border, shift]) => Math.max(0, border + shift));
    const change = fc.record({
      size,
      at: fc.nat({ max: 2 * partBytes }),
      count: fc.constantFrom(0, 1, 512, 1_000, 600_000),
      fill: fc.constantFrom(0, 7),
    });
    const history = fc.array(change, { minLength: 2, maxLength: 4 });
    const property = fc.asyncProperty(history, async (changes) => {
      let previousBackupId = null;
      for (const { size, at, count, fill } of changes) {
        const bytes = Buffer.from(source.subarray(0, size));
        bytes.fill(fill, Math.min(at, size), Math.min(at + count, size));
        const files: ModelFiles = new Map([
          ['before', Buffer.alloc(700, 3)],
          ['file', bytes],
        ]);
        const backupId = testBackupId(number++);
        await storeFiles(repository, files, { backupId, previousBackupId, pageSizeBytes });
        previousBackupId = backupId;
        const reader = await repository.openReader(testInstanceId, backupId, never);
        const restored = await extractAll(reader);
        for (const [path, expected] of files) {
          assert.ok(restored.get(path)?.equals(expected), `${path} of ${size} bytes differs`);
        }
      }
    });
    await fc.assert(property, { numRuns: 12 });
  });
});

const file: FileEntry = {
  type: 'file',
  ...{ path: 'a', size: 3 * partBytes, mode: 0o600, modified: 0, page: pageSizeBytes },
  parts: [0, 1, 2].map((frame) => ({ map: 0, frame, packs: [0] })),
};
const folder: DirectoryEntry = { type: 'directory', path: 'b', mode: 0o700 };

async function decode(entries: readonly TableEntry[]): Promise<void> {
  const { frames } = encodeTable(entries);
  const sum = createHash('sha256');
  for (const frame of frames) sum.update(frame);
  const files = entries.filter((entry) => entry.type === 'file');
  const objects = [{ name: 'object', size: 1 }];
  const header = {
    totals: {
      files: files.length,
      directories: entries.length - files.length,
      logical_bytes: files.reduce((total, { size }) => total + size, 0),
    },
    table: { frames: frames.length, sha256: sum.digest('hex') },
    ...{ packs: objects, maps: objects },
  };
  await decodeManifest(header as unknown as ManifestHeader, frames, 'the manifest');
}

describe('a manifest', () => {
  it('is damage, nothing else, when its head is: the next backup does without it', async () => {
    const storage = new MemoryStorage();
    const { repository } = await openTestRepository(storage);
    await using _ = repository;
    const files: ModelFiles = new Map([['a', randomBytes(20_000)]]);
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    const name = [...storage.objects.keys()].find((key) => key.endsWith('/manifest')) ?? '';
    const bytes = storage.objects.get(name) ?? Buffer.alloc(0);
    for (const place of [0, 8, 10, 11, 12, 30, 50, 60]) {
      bytes[place] = (bytes[place] ?? 0) ^ 0x80;
      const next = { backupId: testBackupId(2 + place), previousBackupId: testBackupId(1) };
      const { totals } = await storeFiles(repository, files, next);
      assert.equal(totals.newBytes, 20_000);
      bytes[place] = (bytes[place] ?? 0) ^ 0x80;
    }
  });

  it('is read in turns with everything else: a lease must be renewed meanwhile', async () => {
    const many = Array.from({ length: 100_000 }, (_, i) => ({ ...file, path: `f${i}` }));
    let turns = 0;
    const counting = setInterval(() => turns++);
    await decode(many);
    clearInterval(counting);
    assert.ok(turns >= 5, `${turns} turns`);
  });

  it('is refused when the parts of a file do not cover it', async () => {
    await decode([file, folder]);
    const isRefused = (error: unknown): boolean => isErrorKind(error, 'repository-damaged');
    await assert.rejects(decode([{ ...file, parts: file.parts.slice(1) }]), isRefused);
    await assert.rejects(decode([{ ...file, size: 2 * partBytes }]), isRefused);
    await assert.rejects(decode([{ ...file, size: 0 }]), isRefused);
  });

  it('is refused when a path leaves its folder, be it of a file or of a folder', async () => {
    for (const path of ['', '/a', '../a', 'a/..', 'a/../../b', './a', 'a//b', 'a/', 'a\0']) {
      for (const entry of [file, folder]) {
        await assert.rejects(
          decode([{ ...entry, path }]),
          (error) => isErrorKind(error, 'repository-damaged') && /bad path/.test(error.message),
          JSON.stringify(path),
        );
      }
    }
    await assert.rejects(decode([file, { ...folder, path: 'a' }]), /occurs twice/);
  });
});
