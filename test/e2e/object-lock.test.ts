// A service whose backups are in a bucket with object lock: they are locked by themselves, deleted
// as ever, found to be touched by somebody else, and brought back. Every test stands on the ones
// before it.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import type { BackupDetailWire } from '../../src/api/schema/backup.ts';
import type { JobDetailListWire, JobDetailWire } from '../../src/api/schema/job.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { S3Storage } from '../../src/storage/s3.ts';
import type { ObjectStore } from '../fixtures/object-store.ts';
import { startObjectStore } from '../fixtures/object-store.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { openS3, useCredentials } from '../fixtures/s3-storages.ts';
import type { Environment, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp, register, untilEnded } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const never = new AbortController().signal;
const dayMs = 86_400_000;
const scene = new AsyncDisposableStack();
let store: ObjectStore;
let service: TestService;
let storage: S3Storage;
let url: string;
let folder: string;
/** Of a machine that has the storage and the key alone. */
let elsewhere: Environment;
let instanceId: string;
let first: BackupDetailWire;
let second: BackupDetailWire;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-locks-'));
  scene.defer(() => rm(folder, { recursive: true, force: true }));
  store = scene.use(await startObjectStore('ceph'));
  useCredentials(store.environment);
  for (const bucket of ['locked', 'second']) await store.makeBucket(bucket, { canLock: true });
  await store.makeBucket('plain');
  url = `${store.urlOf('locked', 'cairn')}&lock=governance&lock_days=1`;
  storage = await openS3(url);
  const server = scene.use(await startPostgres({ version: '17' }));
  await server.query('create table notes as select g from generate_series(1, 999) g');
  const environment = { ...store.environment, CAIRN_STORAGE: url };
  service = scene.use(await startService({ versions: ['17'], environment }));
  instanceId = await register(service, server.url);
  const key = (await readFile(join(service.dataDir, 'master.key'), 'utf8')).trim();
  elsewhere = { ...environment, CAIRN_MASTER_KEY: key, CAIRN_DATA: join(folder, 'data') };
});
after(() => scene.disposeAsync());

async function listJobs(wanted: string): Promise<readonly JobDetailWire[]> {
  const path = `/cairn/v1/{p}/jobs?instance_id=${instanceId}`;
  const { jobs } = (await service.request<JobDetailListWire>('GET', path)).body;
  return jobs.filter(({ kind }) => kind === wanted);
}

/** The newest, when there are so many. */
async function lastLockJob(count: number): Promise<JobDetailWire> {
  const [last] = await until('locks were asked for', async () => {
    const jobs = await listJobs('extend-locks');
    return jobs.length >= count ? jobs : null;
  });
  assert.ok(last);
  return await untilEnded(service, last.id);
}

async function unlockedNames(of: S3Storage): Promise<string[]> {
  const names: string[] = [];
  for await (const version of of.lock?.listVersions('', never) ?? assert.fail('no locks')) {
    if (version.isDeletion || version.name.startsWith('tmp/')) continue;
    const end = await of.lock?.findEnd(version, never);
    if (!end || end.getTime() < Date.now() + 3 * dayMs) names.push(version.name);
  }
  return names;
}

suite('a service on a bucket with object lock', () => {
  test('does not start where nothing can be locked', async () => {
    const CAIRN_STORAGE = `${store.urlOf('plain')}&lock=compliance`;
    const environment = { ...store.environment, CAIRN_STORAGE };
    const args = ['serve', '--data', join(folder, 'refused'), '--listen', '127.0.0.1:0'];
    const { exitCode, stderr } = await runCairn(args, { environment });
    assert.equal(exitCode, exitCodes.usage, stderr);
    assert.match(stderr, /object lock is not enabled in bucket plain[^]*docs\/object-lock\.md/);
  });

  test('locks each backup by itself, the second one too', async () => {
    first = await backUp(service, instanceId, 'first');
    const job = await lastLockJob(1);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.equal(job.result?.kind, 'locks');
    assert.deepEqual(await unlockedNames(storage), []);
    second = await backUp(service, instanceId, 'second');
    assert.equal((await lastLockJob(2)).status, 'succeeded');
    assert.deepEqual(await unlockedNames(storage), []);
  });

  test('deletes a locked backup: it is gone at once, and stays as a version', async () => {
    const removed = await service.cli('backup', 'delete', first.id);
    assert.equal(removed.exitCode, 0, removed.stderr);
    const manifest = `instances/${instanceId}/backups/${first.id}/manifest`;
    await until(
      'the manifest is gone',
      async () => !(await storage.requests.isPresent(manifest, never)),
    );
    const list = await service.cli('backup', 'list', '--json');
    assert.ok(!list.stdout.includes(first.id), list.stdout);
    const [job] = await listJobs('delete-backup');
    const { result } = await untilEnded(service, job?.id ?? '');
    assert.ok(result?.kind === 'deleted-backup');
    assert.ok(new Date(result.locked_until ?? 0).getTime() > Date.now() + 3.9 * dayMs);
    const versions = await Array.fromAsync(storage.lock?.listVersions(manifest, never) ?? []);
    assert.deepEqual(versions.map(({ isDeletion }) => isDeletion).sort(), [false, true]);
  });

  test('keeps a second copy that is locked as well', async () => {
    const to = `${store.urlOf('second', 'copy')}&lock=governance&lock_days=1`;
    const copied = await runCairn(['storage', 'copy', '--to', to], { environment: elsewhere });
    assert.equal(copied.exitCode, 0, copied.stdout + copied.stderr);
    assert.deepEqual(await unlockedNames(await openS3(to)), []);
  });

  test('finds out who hid a backup, says so, and tells the way back', async () => {
    // Stores tell whole seconds.
    await systemClock.sleep(1_100, never);
    const before = new Date();
    await systemClock.sleep(1_100, never);
    for (const { name } of await Array.fromAsync(storage.list('instances/', never))) {
      await store.client.send(new DeleteObjectCommand(storage.requests.at(name)));
    }
    await backUp(service, instanceId, 'third');
    const job = await lastLockJob(3);
    assert.equal(job.status, 'failed');
    assert.match(job.error?.message ?? '', new RegExp(`${second.id}/manifest is needed and was`));
    assert.match(job.error?.hint ?? '', /at=/);
    const past = `${store.urlOf('locked', 'cairn')}&at=${before.toISOString()}`;
    const environment = { ...elsewhere, CAIRN_STORAGE: past };
    const target = join(folder, 'restored');
    const args = ['restore', '--backup', second.id, '--to', target];
    const restored = await runCairn(args, { environment });
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    assert.ok((await stat(join(target, 'global', 'pg_control'))).size > 0);
    const copy = join(folder, 'saved');
    const saved = ['storage', 'copy', '--from', past, '--to', `file://${copy}`, '--json'];
    const result = await runCairn(saved, { environment: elsewhere });
    assert.equal(result.exitCode, 0, result.stdout + result.stderr);
    assert.equal(result.json<{ backups: number }>().backups, 1);
  });

  test('renews locks by hand, and says when something was touched', async () => {
    const run = () => runCairn(['storage', 'lock', '--json'], { environment: elsewhere });
    const fine = await run();
    assert.equal(fine.exitCode, 0, fine.stdout + fine.stderr);
    const key = `keys/${instanceId}.1.json`;
    await store.client.send(new DeleteObjectCommand(storage.requests.at(key)));
    const touched = await run();
    assert.equal(touched.exitCode, exitCodes.damaged, touched.stdout + touched.stderr);
    assert.match(touched.stdout, /keys\//);
  });
});
