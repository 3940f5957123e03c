// The disk runs full: under the repository, under everything that Cairn has, under a restore. The
// job says so, what was begun is taken away again, and room is all that the next one needs.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { startLargeServer } from '../fixtures/large-server.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  backUp,
  hasManifest,
  register,
  requestBackup,
  showBackup,
  showRdsJob,
  untilEnded,
} from '../fixtures/service-calls.ts';
import { mountSmallDisk, skipWithoutRoot } from '../fixtures/small-disk.ts';

/** The first pack fits, the second does not. */
const tooSmallMib = 100;
const roomMib = 600;

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;

before(async () => {
  server = scene.use(await startLargeServer('16'));
});
after(() => scene.disposeAsync());

/** Fails for want of room, and leaves no byte of the failed backup. */
async function assertRunsFull(service: TestService, repositoryDir: string): Promise<string> {
  const instanceId = await register(service, server.url);
  const { backupId, jobId } = await requestBackup(service, instanceId, 'too-large');
  const job = await untilEnded(service, jobId);
  assert.equal(job.status, 'failed');
  assert.equal(job.error?.kind, 'storage-full', JSON.stringify(job.error));
  assert.equal(job.attempt, 1, 'a full disk was tried again');
  assert.match(job.error.message, /no space left/);
  assert.match(job.error.hint ?? '', /free space/);
  const backup = await showBackup(service, backupId);
  assert.equal(backup.status, 'FAILED');
  assert.match(backup.failure_reason ?? '', /no space left/);
  assert.match((await showRdsJob(service, jobId)).fail_reason ?? '', /no space left/);
  assert.equal(hasManifest(repositoryDir, backupId), false);
  const left = globSync('{instances,tmp}/**', { cwd: repositoryDir, withFileTypes: true });
  assert.deepEqual(left.filter((entry) => entry.isFile()).map(String), []);
  return instanceId;
}

suite('a full disk', { skip: skipWithoutRoot }, () => {
  test('under the repository: the backup fails, the next works when there is room', async () => {
    await using disk = await mountSmallDisk(tooSmallMib);
    const repositoryDir = join(disk.path, 'repository');
    await using service = await startService({
      environment: { CAIRN_STORAGE: pathToFileURL(repositoryDir).href },
    });
    const instanceId = await assertRunsFull(service, repositoryDir);
    await disk.resize(roomMib);
    const { id } = await backUp(service, instanceId, 'with-room');
    assert.equal(hasManifest(repositoryDir, id), true);
  });

  test('under catalog and repository at once: the failure is still recorded', async () => {
    await using disk = await mountSmallDisk(tooSmallMib);
    await using service = await startService({ folder: join(disk.path, 'home') });
    const instanceId = await assertRunsFull(service, join(service.dataDir, 'repository'));
    await disk.resize(roomMib);
    await backUp(service, instanceId, 'with-room');
  });

  test('under a restore: no server starts, and the backup stays good', async () => {
    await using disk = await mountSmallDisk(tooSmallMib);
    await using service = await startService({
      environment: { CAIRN_SERVERS_DIR: join(disk.path, 'servers') },
    });
    const instanceId = await register(service, server.url);
    const { id } = await backUp(service, instanceId, 'good');
    for (const where of [
      ['--new-instance', 'no-room'],
      ['--to', join(disk.path, 'folder')],
    ]) {
      const result = await service.cli('restore', '--backup', id, ...where, '--json');
      assert.equal(result.exitCode, exitCodes.storage, result.stdout + result.stderr);
      const { error } = result.json<{ error: { kind: string; message: string } }>();
      assert.equal(error.kind, 'storage-full', error.message);
    }
    assert.deepEqual(await service.restoredServers(), []);
    const removed = await service.cli('instance', 'remove', 'no-room');
    assert.equal(removed.exitCode, 0, removed.stderr);
    await disk.resize(roomMib * 2);
    const restored = await service.cli(
      ...['restore', '--backup', id, '--new-instance', 'with-room', '--json'],
    );
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    assert.equal((await service.cli('instance', 'remove', 'with-room', '--yes')).exitCode, 0);
  });
});
