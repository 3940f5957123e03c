// The volume of the repository goes away, or can only be read: nothing is written to what lies in
// its place, and the backups on it are as good as before when it is back.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import {
  backUp,
  objectsOf,
  register,
  requestBackup,
  showBackup,
  untilEnded,
} from '../fixtures/service-calls.ts';
import { mountSmallDisk, skipWithoutRoot } from '../fixtures/small-disk.ts';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let backupId: string;

const repositoryDir = (): string => join(service.dataDir, 'repository');

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  service = scene.use(await startService());
  instanceId = await register(service, server.url);
  backupId = (await backUp(service, instanceId, 'before')).id;
});
after(() => scene.disposeAsync());

/** An empty folder lies in the place of the repository, as where a volume is not mounted. */
async function withoutVolume(work: () => Promise<void>): Promise<void> {
  const aside = join(service.folder, 'aside');
  await rename(repositoryDir(), aside);
  await mkdir(repositoryDir());
  try {
    await work();
    assert.equal(existsSync(join(repositoryDir(), 'repository.json')), false);
  } finally {
    await rm(repositoryDir(), { recursive: true });
    await rename(aside, repositoryDir());
  }
}

suite('the volume of the repository', () => {
  test('goes away while the service runs: a backup fails and says so', async () => {
    await withoutVolume(async () => {
      const { backupId: id, jobId } = await requestBackup(service, instanceId, 'without-volume');
      const job = await untilEnded(service, jobId);
      assert.equal(job.status, 'failed');
      assert.equal(job.error?.kind, 'storage-unavailable');
      assert.match(job.error.hint ?? '', /mounted/);
      assert.equal((await showBackup(service, id)).status, 'FAILED');
      assert.deepEqual(objectsOf(repositoryDir(), id), []);
    });
    await backUp(service, instanceId, 'volume-is-back');
  });

  test('is away when the service starts: no other repository is begun', async () => {
    await service.kill('SIGTERM');
    await withoutVolume(async () => {
      for (const command of [['serve', '--listen', '127.0.0.1:0'], ['worker']]) {
        const result = await runCairn([...command, '--data', service.dataDir], {
          environment: service.environment,
        });
        assert.equal(result.exitCode, exitCodes.storage, result.stderr);
        assert.match(result.stderr, /the catalog knows backups, but there is no repository in/);
      }
    });
    await service.start();
    await backUp(service, instanceId, 'started-again');
  });

  test('can only be read: a folder is restored from it', { skip: skipWithoutRoot }, async () => {
    const key = await service.cli('key', 'export', '--json');
    await using disk = await mountSmallDisk(200);
    const run = async (program: string, ...args: string[]): Promise<void> => {
      const { exitCode, stderr } = await runCommand(program, args, { timeoutMs: 10_000 });
      assert.equal(exitCode, 0, stderr);
    };
    // Without `tmp`, as a copy made by hand may be.
    for (const part of ['repository.json', 'keys', 'instances']) {
      await run('cp', '-r', join(repositoryDir(), part), disk.path);
    }
    await run('mount', '-o', 'remount,ro', disk.path);
    const target = join(service.folder, 'from-read-only');
    const restored = await runCairn(['restore', '--backup', backupId, '--to', target, '--json'], {
      environment: {
        CAIRN_STORAGE: pathToFileURL(disk.path).href,
        CAIRN_MASTER_KEY: key.json<{ master_key: string }>().master_key,
      },
    });
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    assert.ok(existsSync(join(target, 'PG_VERSION')));
  });
});
