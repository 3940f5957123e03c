// Repositories that earlier formats left behind, as files: today's code and the independent reader
// must give back every byte. `scripts/golden.ts` makes the one of a new format version.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { BackupId } from '../src/model/ids.ts';
import { runCommand } from '../src/platform/child-process.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { formatVersion } from '../src/repository/format.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import { LocalStorage } from '../src/storage/local.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  pushFiles,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';

type Digests = Record<string, { readonly size: number; readonly sha256: string }>;
type Expected = {
  readonly format: number;
  readonly masterKey: string;
  readonly backups: readonly { readonly id: BackupId; readonly files: Digests }[];
};

const golden = resolve(import.meta.dirname, 'fixtures/golden');
const script = resolve(import.meta.dirname, '../scripts/extract-backup.ts');
const versions = await readdir(golden);
/** One page, which the new backup changes. */
const changedBytes = 512;

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'cairn-golden-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

async function open(version: string) {
  const path = join(golden, version, 'expected.json');
  const expected: Expected = JSON.parse(await readFile(path, 'utf8'));
  // A copy, so that no test can change what is golden.
  const folder = await mkdtemp(join(scratch, version));
  await cp(join(golden, version, 'repository'), folder, { recursive: true });
  const repository = await openRepository({
    storage: await LocalStorage.open(folder, systemRandom),
    masterKey: MasterKey.parse(expected.masterKey),
    ...{ ownerId: 'test-owner', expectedId: null, random: systemRandom, now: new Date(0) },
    ...{ signal: never, threadCount: 2 },
  });
  return { expected, folder, repository };
}

function digest(files: ModelFiles): Digests {
  const entries = [...files].map(([path, bytes]) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return [path, { size: bytes.byteLength, sha256 }] as const;
  });
  return Object.fromEntries(entries);
}

async function readFolder(folder: string): Promise<ModelFiles> {
  const files: ModelFiles = new Map();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(relative(folder, path), await readFile(path));
  }
  return files;
}

describe('golden repositories', () => {
  it('there is one of today’s format version', () => {
    assert.ok(versions.includes(`v${formatVersion}`));
  });

  for (const version of versions) {
    it(`${version}: today’s code restores every byte`, async () => {
      const { expected, repository } = await open(version);
      await using _ = repository;
      for (const { id, files } of expected.backups) {
        const reader = await repository.openReader(testInstanceId, id, never);
        assert.deepEqual(digest(await extractAll(reader)), files);
      }
    });

    it(`${version}: a new backup refers to what is in it, and outlives it`, async () => {
      const { expected, repository } = await open(version);
      await using _ = repository;
      const last = expected.backups.at(-1)?.id ?? assert.fail('it holds no backup');
      const reader = await repository.openReader(testInstanceId, last, never);
      const files = await extractAll(reader);
      const table = files.get('base/1/table') ?? assert.fail('there is no table');
      table.fill('x', 0, changedBytes);
      const backupId = '00000000000000000000000000000099br03' as BackupId;
      await using writer = await repository.openWriter({
        ...{ instanceId: testInstanceId, backupId, previousBackupId: last },
        ...{ now: new Date(0), signal: never, log: silentLogger },
      });
      for (const { path, pageSizeBytes } of reader.files()) {
        const file: ModelFiles = new Map([[path, files.get(path) ?? Buffer.alloc(0)]]);
        await pushFiles(writer, file, { pageSizeBytes });
      }
      assert.equal((await writer.commit(testFacts())).totals.newBytes, changedBytes);
      const lease = { assertLease: () => Promise.resolve(), signal: never };
      for (const { id } of expected.backups) {
        await repository.deleteBackup(testInstanceId, id, lease);
      }
      const added = await repository.openReader(testInstanceId, backupId, never);
      assert.deepEqual(sortKeys(digest(await extractAll(added))), sortKeys(digest(files)));
    });

    it(`${version}: the reader made from the specification restores every byte`, async () => {
      const { expected, folder, repository } = await open(version);
      await repository[Symbol.asyncDispose]();
      for (const { id, files } of expected.backups) {
        const to = join(scratch, `${version}-${id}`);
        const args = ['--repository', folder, '--key', expected.masterKey, '--backup', id];
        const run = [script, ...args, '--to', to];
        const { exitCode, stderr } = await runCommand(process.execPath, run, {
          timeoutMs: 60_000,
        });
        assert.equal(exitCode, 0, stderr);
        assert.deepEqual(sortKeys(digest(await readFolder(to))), sortKeys(files));
      }
    });

    it(`${version}: has several packs and map objects, shared by its backups`, async () => {
      const folder = join(golden, version, 'repository/instances', testInstanceId, 'backups');
      const names = (await readdir(folder, { recursive: true })).sort();
      assert.ok(names.filter((name) => /packs\/./.test(name)).length >= 4);
      assert.ok(names.filter((name) => /maps\/./.test(name)).length >= 3);
      const sizes = await Promise.all(names.map((name) => stat(join(folder, name))));
      assert.ok(sizes.reduce((sum, { size }) => sum + size, 0) < 300_000);
    });
  }
});

function sortKeys(digests: Digests): [string, unknown][] {
  return Object.entries(digests).sort(([a], [b]) => (a < b ? -1 : 1));
}
