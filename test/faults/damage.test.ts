// What lies in the repository is damaged, lost or exchanged: no restore may go past it. It stops
// before any server starts and names the object, both for a folder and for a new instance.
import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { copyFile, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { RegisteredInstanceWire } from '../../src/api/schema/registered-instance.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp, objectsOf, register, showRdsJob, untilEnded } from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let firstId: string;
let backupId: string;

const repositoryDir = (): string => join(service.dataDir, 'repository');
const folder = (): string => join(service.folder, 'folder');

before(async () => {
  server = scene.use(await startPostgres({ version: '17' }));
  await server.query(
    'create table notes as select g, md5(g::text) from generate_series(1, 50000) g',
  );
  service = scene.use(await startService({ versions: ['17'] }));
  instanceId = await register(service, server.url);
  firstId = (await backUp(service, instanceId, 'first')).id;
  // Half of the pages are new in the second backup, the others lie in the packs of the first.
  await server.query("update notes set md5 = 'changed' where g > 25000");
  backupId = (await backUp(service, instanceId, 'second')).id;
});
after(() => scene.disposeAsync());

function objectOf(id: string, part: string): string {
  const name = objectsOf(repositoryDir(), id).find((path) => path.includes(part));
  assert.ok(name, `backup ${id} has no object ${part}`);
  return name;
}

async function flipByte(path: string, at: (sizeBytes: number) => number): Promise<void> {
  const bytes = await readFile(path);
  const index = at(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  await writeFile(path, bytes);
}

type Accepted = { readonly instance: { readonly id: string }; readonly job_id: string };
type Failure = { readonly error: { readonly kind: string; readonly message: string } };

function restore(...where: string[]): Promise<CliResult> {
  return service.cli('restore', '--backup', backupId, ...where, '--json');
}

/** Neither way of restoring goes past the damage, and both name it. */
async function assertRefused(object: string): Promise<void> {
  await Promise.all([assertFolderRefused(object), assertInstanceRefused(object)]);
  assert.deepEqual(await service.restoredServers(), []);
}

async function assertFolderRefused(object: string): Promise<void> {
  const result = await restore('--to', folder());
  await rm(folder(), { recursive: true, force: true });
  assert.equal(result.exitCode, exitCodes.damaged, result.stdout + result.stderr);
  const { error } = result.json<Failure>();
  assert.equal(error.kind, 'repository-damaged');
  assert.ok(error.message.includes(object), `${error.message} does not name ${object}`);
}

async function assertInstanceRefused(object: string): Promise<void> {
  const answer = await service.request<Accepted>('POST', '/v3/{p}/instances', {
    name: 'refused-copy',
    restore_point: { instance_id: instanceId, type: 'backup', backup_id: backupId },
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  const { instance: target, job_id: jobId } = answer.body;
  const job = await untilEnded(service, jobId);
  assert.equal(job.error?.kind, 'repository-damaged', JSON.stringify(job.error));
  assert.ok(job.error.message.includes(object), `${job.error.message} does not name ${object}`);
  assert.ok((await showRdsJob(service, jobId)).fail_reason?.includes(object));
  const path = `/cairn/v1/{p}/instances/${target.id}`;
  const shown = await service.request<{ instance: RegisteredInstanceWire }>('GET', path);
  assert.equal(shown.body.instance.status, 'create-failed');
  assert.ok(shown.body.instance.failure_reason?.includes(object));
  // Every server that was ever started has a log.
  assert.deepEqual(globSync('servers/*/server.log', { cwd: service.dataDir }), []);
  const removed = await service.request<Accepted>('DELETE', `/v3/{p}/instances/${target.id}`);
  assert.equal((await untilEnded(service, removed.body.job_id)).status, 'succeeded');
}

/** Does something to the file of an object, and mends it afterwards. */
async function withDamage(object: string, work: (path: string) => Promise<unknown>): Promise<void> {
  const path = join(repositoryDir(), object);
  const aside = join(service.folder, 'aside');
  await copyFile(path, aside);
  try {
    await work(path);
    await assertRefused(object);
  } finally {
    await rename(aside, path);
  }
}

suite('a damaged repository', () => {
  test('a pack with one changed bit', () =>
    withDamage(objectOf(backupId, '/packs/'), (path) => flipByte(path, (size) => size >> 1)));

  test('a pack of an earlier backup with one changed bit', () =>
    withDamage(objectOf(firstId, '/packs/'), (path) => flipByte(path, (size) => size >> 1)));

  test('a pack that is cut short', () =>
    withDamage(objectOf(firstId, '/packs/'), (path) => truncate(path, 100_000)));

  test('a pack that is gone', () => withDamage(objectOf(firstId, '/packs/'), (path) => rm(path)));

  test('a pack in the place of another', () =>
    withDamage(objectOf(backupId, '/packs/'), (path) =>
      copyFile(join(repositoryDir(), objectOf(firstId, '/packs/')), path),
    ));

  test('file maps that are gone', () =>
    withDamage(objectOf(backupId, '/maps/'), (path) => rm(path)));

  test('file maps with one changed bit', () =>
    withDamage(objectOf(backupId, '/maps/'), (path) => flipByte(path, (size) => size >> 1)));

  for (const [place, at] of [
    ['head', () => 9],
    ['middle', (size: number) => size >> 1],
    ['end', (size: number) => size - 1],
  ] as const) {
    test(`a manifest with one changed bit in its ${place}`, () =>
      withDamage(objectOf(backupId, '/manifest'), (path) => flipByte(path, at)));
  }

  test('a manifest in the place of another', () =>
    withDamage(objectOf(backupId, '/manifest'), (path) =>
      copyFile(join(repositoryDir(), objectOf(firstId, '/manifest')), path),
    ));

  test('a manifest that is gone', async () => {
    const path = join(repositoryDir(), objectOf(backupId, '/manifest'));
    await rename(path, `${path}.aside`);
    try {
      // The repository alone knows no such backup; the catalog knows that there should be one.
      for (const [option, target, exitCode] of [
        ['--to', folder(), exitCodes.notFound],
        ['--new-instance', 'no-manifest', exitCodes.damaged],
      ] as const) {
        const result = await restore(option, target);
        assert.equal(result.exitCode, exitCode, result.stdout);
        assert.ok(result.json<Failure>().error.message.includes(backupId));
      }
    } finally {
      await rename(`${path}.aside`, path);
    }
    assert.ok(!existsSync(folder()));
    assert.deepEqual(await service.restoredServers(), []);
    assert.equal((await service.cli('instance', 'remove', 'no-manifest')).exitCode, 0);
  });

  test('a data key that is gone', () => {
    const [key] = globSync('keys/*.json', { cwd: repositoryDir() });
    return withDamage(String(key), async (path) => {
      await rm(path);
      // A worker keeps the keys that it has used.
      await service.restart();
    });
  });
});

suite('with the wrong key', () => {
  test('no folder is made and no service begins', async () => {
    const environment = { ...service.environment, CAIRN_MASTER_KEY: 'ab'.repeat(32) };
    const place = ['--data', service.dataDir];
    const folderResult = await runCairn(
      ['restore', '--backup', backupId, '--to', folder(), '--json', ...place],
      { environment },
    );
    const serveResult = await runCairn(['serve', '--listen', '127.0.0.1:0', ...place], {
      environment,
    });
    for (const result of [folderResult, serveResult]) {
      assert.equal(result.exitCode, exitCodes.usage);
      const text = result.stdout + result.stderr;
      assert.match(text, /sealed with another master key/);
      assert.match(text, /it needs key [0-9a-f]{16}, this one is [0-9a-f]{16}/);
    }
    assert.ok(!existsSync(folder()));
  });

  test('and with everything mended, the backup is as good as ever', async () => {
    const result = await restore('--new-instance', 'mended');
    assert.equal(result.exitCode, 0, result.stdout + result.stderr);
    const { instance } = result.json<{ instance: RegisteredInstanceWire }>();
    const restored = await tableSums(atPort(server.url, instance.port ?? 0));
    assert.deepEqual(restored, await tableSums(server.url));
    assert.equal((await service.cli('instance', 'remove', 'mended', '--yes')).exitCode, 0);
    assert.deepEqual(globSync('servers/*', { cwd: service.dataDir }), []);
  });
});
