// A service whose backups are in an S3 store: backup, restore with and without the service,
// deletion, and a gateway that dies in the middle of a backup. Every test stands on the ones before
// it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BackupDetailWire } from '../../src/api/schema/backup.ts';
import type { S3Storage } from '../../src/storage/s3.ts';
import type { GatedScene } from '../fixtures/gated-scene.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import type { ObjectStore } from '../fixtures/object-store.ts';
import { startObjectStore } from '../fixtures/object-store.ts';
import { openS3, useCredentials } from '../fixtures/s3-storages.ts';
import { runCairn } from '../fixtures/service.ts';
import {
  backUp,
  requestBackup,
  showJob,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

const never = new AbortController().signal;
const all = new AsyncDisposableStack();
let store: ObjectStore;
let scene: GatedScene;
let storage: S3Storage;
let first: BackupDetailWire;
let interruptedId: string;
let sums: Record<string, string>;

before(async () => {
  store = all.use(await startObjectStore('ceph'));
  await store.makeBucket('backups');
  const url = store.urlOf('backups', 'cairn');
  const environment = { ...store.environment, CAIRN_STORAGE: url };
  scene = all.use(await startGatedScene('17', { versions: ['17'], environment }));
  sums = await tableSums(scene.server.url);
  useCredentials(store.environment);
  storage = await openS3(url);
});
after(() => all.disposeAsync());

async function objectsOf(backupId: string): Promise<string[]> {
  const names = (await Array.fromAsync(storage.list('', never))).map(({ name }) => name);
  return names.filter((name) => name.includes(`/backups/${backupId}/`));
}

suite('a service on an S3 store', () => {
  test('backs up, and says nothing of a store that lacks something', async () => {
    const { service, instanceId } = scene;
    first = await backUp(service, instanceId, 'first');
    assert.ok((await objectsOf(first.id)).some((name) => name.endsWith('/manifest')));
    assert.doesNotMatch(service.log, /no conditional create/);
    assert.ok(!service.log.includes(store.secretKey));
  });

  test('restores to a server that holds the same rows', async () => {
    const { service, server } = scene;
    const { exitCode, stdout, stderr } = await service.cli(
      ...['restore', '--backup', first.id, '--new-instance', 'shop-copy', '--json'],
    );
    assert.equal(exitCode, 0, stdout + stderr);
    const { instance } = JSON.parse(stdout);
    assert.deepEqual(await tableSums(atPort(server.url, instance.port)), sums);
    const removed = await service.cli('instance', 'remove', 'shop-copy', '--yes');
    assert.equal(removed.exitCode, 0, removed.stderr);
  });

  test('a gateway that dies in the middle of a backup and comes back costs only time', async () => {
    const { service, proxy, instanceId } = scene;
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'interrupted');
    await untilHeld(service, proxy, jobId);
    await store.killGateway();
    proxy.open();
    await until('the backup meets a store that is gone', () => /trying on/.test(service.log));
    await store.startGateway();
    const job = await untilEnded(service, jobId, 120_000);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    interruptedId = backupId;
    const names = await objectsOf(backupId);
    assert.equal(names.filter((name) => name.endsWith('/manifest')).length, 1);
    assert.deepEqual(
      (await Array.fromAsync(storage.requests.list('tmp/', never))).map(({ name }) => name),
      [],
      'no probe and no claim is left',
    );
  });

  test('restores to a folder with bucket and key alone', async () => {
    const { service } = scene;
    const kit = await service.cli('key', 'export', '--json');
    const { master_key: masterKey } = kit.json<{ master_key: string }>();
    const environment = {
      ...store.environment,
      CAIRN_MASTER_KEY: masterKey,
      CAIRN_STORAGE: store.urlOf('backups', 'cairn'),
    };
    const target = join(service.folder, 'restored');
    const restored = await runCairn(
      ['restore', '--backup', interruptedId, '--to', target, '--json'],
      {
        environment,
      },
    );
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    const unknown = await runCairn(
      ['restore', '--backup', `${'0'.repeat(32)}br03`, '--to', join(service.folder, 'never')],
      { environment },
    );
    assert.equal(unknown.exitCode, 3, unknown.stderr);
    assert.match(unknown.stderr, new RegExp(first.id), 'the hint names what there is');
  });

  test('a store that is gone is named, and a backup can be cancelled meanwhile', async () => {
    const { service, proxy, instanceId } = scene;
    proxy.close(middleBytes);
    const { jobId } = await requestBackup(service, instanceId, 'cancelled');
    await untilHeld(service, proxy, jobId);
    await store.killGateway();
    proxy.open();
    const stopped = await service.cli('backup', 'stop', '--instance', instanceId);
    assert.equal(stopped.exitCode, 0, stopped.stderr);
    const [job, check] = await Promise.all([
      untilEnded(service, jobId, 60_000),
      service.cli('storage', 'check'),
    ]);
    assert.equal(job.status, 'cancelled', JSON.stringify(await showJob(service, jobId)));
    assert.equal(check.exitCode, 1, check.stdout);
    assert.match(check.stdout, /nothing listens there/);
    await store.startGateway();
    const again = await service.cli('storage', 'check', '--json');
    assert.equal(again.exitCode, 0, again.stdout);
    const { checks } = again.json<{ checks: { check: string; verdict: string }[] }>();
    assert.deepEqual([...new Set(checks.map(({ verdict }) => verdict))], ['ok']);
    assert.ok(checks.some(({ check }) => check === 'conditional create'));
  });

  test('deletes backups with all their objects', async () => {
    const { service } = scene;
    // The later one first: it needs pages of the other.
    for (const id of [interruptedId, first.id]) {
      const deleted = await service.cli('backup', 'delete', id, '--wait');
      assert.equal(deleted.exitCode, 0, deleted.stderr);
      assert.deepEqual(await objectsOf(id), []);
    }
  });
});
