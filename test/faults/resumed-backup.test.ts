// A worker that dies in the middle of a real backup: the next attempt stores only what the first
// had not finished, and the backup is whole.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { GatedScene } from '../fixtures/gated-scene.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import {
  objectsOf,
  requestBackup,
  showBackup,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

let scene: GatedScene;
const repositoryDir = (): string => join(scene.service.dataDir, 'repository');

before(async () => {
  const environment = { CAIRN_CHECKPOINT_MIB: '16' };
  scene = await startGatedScene('16', { environment });
});
after(() => scene[Symbol.asyncDispose]());

function checkpointsOf(backupId: string): string[] {
  return objectsOf(repositoryDir(), backupId).filter((name) => name.includes('/checkpoints/'));
}

function packsOf(backupId: string): string[] {
  return objectsOf(repositoryDir(), backupId).filter((name) => name.includes('/packs/'));
}

function sumSizes(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + statSync(join(repositoryDir(), name)).size, 0);
}

suite('a backup whose worker is killed', () => {
  test('goes on from the last checkpoint', async () => {
    const { server, service, proxy, instanceId } = scene;
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'resumed');
    await untilHeld(service, proxy, jobId, 1);
    // One of small files, one with the first part of the large table's map: 64 MiB.
    await until('two checkpoints are written', () => checkpointsOf(backupId).length === 2);
    const [pid] = await service.workers();
    process.kill(Number(pid), 'SIGKILL');
    await untilHeld(service, proxy, jobId, 2);
    const kept = packsOf(backupId);
    proxy.open();
    const job = await untilEnded(service, jobId);
    assert.deepEqual([job.status, job.attempt], ['succeeded', 2]);
    const backup = await showBackup(service, backupId);
    assert.equal(backup.status, 'COMPLETED');
    assert.ok((backup.totals?.stored_bytes ?? 0) > sumSizes(packsOf(backupId)));
    assert.deepEqual(checkpointsOf(backupId), [], 'a checkpoint is left');
    // Of 150 MB the first attempt had finished 64 MiB and the small files.
    const added = packsOf(backupId).filter((name) => !kept.includes(name));
    assert.ok(sumSizes(added) < sumSizes(kept), 'the second attempt has stored as much');
    assert.ok(sumSizes(added) < 0.6 * sumSizes(packsOf(backupId)));
    const restored = await service.cli(
      ...['restore', '--backup', backupId, '--new-instance', 'resumed', '--json'],
    );
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    const { port } = JSON.parse(restored.stdout).instance;
    assert.deepEqual(await tableSums(atPort(server.url, port)), await tableSums(server.url));
  });
});
