// A server with a tablespace, restored as a new one, then restored over: by API and command line,
// with the data that were there and without.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import type { BackupDetailWire } from '../../src/api/schema/backup.ts';
import type { RegisteredInstanceWire } from '../../src/api/schema/registered-instance.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  backUp,
  listBackups,
  register,
  showRdsJob,
  untilEnded,
} from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let sourceId: string;
let backup: BackupDetailWire;
let sums: Record<string, string>;
let copy: RegisteredInstanceWire;

before(async () => {
  server = scene.use(await startPostgres({ version: '17' }));
  service = scene.use(await startService({ versions: ['17'] }));
  await server.query('create table orders as select g as id from generate_series(1, 50000) g');
  await makeTablespace(join(service.folder, 'far'));
  await server.query('create table far tablespace far as select * from orders where id % 3 = 0');
  sourceId = await register(service, server.url);
  backup = await backUp(service, sourceId, 'before-the-accident');
  sums = await tableSums(server.url);
  const restored = await service.cli(
    ...['restore', '--backup', backup.id, '--new-instance', 'shop-copy', '--json'],
  );
  assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
  copy = restored.json<{ instance: RegisteredInstanceWire }>().instance;
});
after(() => scene.disposeAsync());

async function makeTablespace(folder: string): Promise<void> {
  const identity = await findServerIdentity(null);
  await mkdir(folder, { mode: 0o700 });
  if (identity) await chown(folder, identity.uid, identity.gid);
  await server.query(`create tablespace far location '${folder}'`);
}

async function runAt(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

const homes = (): string[] =>
  readdirSync(join(service.dataDir, 'servers')).filter((name) => !name.startsWith('.'));
const urlOf = ({ port }: RegisteredInstanceWire): string => atPort(server.url, port ?? 0);
const show = async (id: string): Promise<RegisteredInstanceWire> => {
  const path = `/cairn/v1/{p}/instances/${id}`;
  return (await service.request<{ instance: RegisteredInstanceWire }>('GET', path)).body.instance;
};
const recover = (version: 'v3' | 'v3.1', targetId: string) =>
  service.request<{ job_id: string; error_code?: string }>(
    'POST',
    `/${version}/{p}/instances/recovery`,
    {
      source: { instance_id: sourceId, backup_id: backup.id, restore_all_database: true },
      target: { instance_id: targetId },
    },
  );

suite('a restore over a running server', () => {
  test('replaces its data on the same port and leaves one folder', async () => {
    await runAt(urlOf(copy), 'delete from orders');
    assert.notDeepEqual(await tableSums(urlOf(copy)), sums);
    const answer = await recover('v3', copy.id);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const job = await untilEnded(service, answer.body.job_id);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    const now = await show(copy.id);
    assert.equal(now.status, 'active');
    assert.equal(now.port, copy.port);
    assert.deepEqual(await tableSums(urlOf(now)), sums);
    assert.equal((await service.restoredServers()).length, 1);
    assert.equal(homes().length, 1);
    const { entities } = await showRdsJob(service, answer.body.job_id);
    assert.equal(entities.instance?.endpoint, `127.0.0.1:${copy.port}`);
  });

  test('answers 202 under v3.1, and can go over the result of another', async () => {
    const answer = await recover('v3.1', copy.id);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    const busy = await recover('v3', copy.id);
    assert.deepEqual([busy.status, busy.body.error_code], [409, 'DBS.201202']);
    const job = await untilEnded(service, answer.body.job_id);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.deepEqual(await tableSums(urlOf(copy)), sums);
    assert.equal(homes().length, 1);
  });

  test('is not cancelled while it waits for the old server to stop', async () => {
    const [old] = await service.restoredServers();
    assert.ok(old);
    // Frozen, it takes as long to stop as we like.
    process.kill(old, 'SIGSTOP');
    try {
      const answer = await recover('v3', copy.id);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const jobId = answer.body.job_id;
      const isSwitching = async () => (await show(copy.id)).status === 'switching';
      await until('the old server is being stopped', isSwitching, 30_000);
      const cancel = await service.request('POST', `/cairn/v1/{p}/jobs/${jobId}/cancel`);
      assert.equal(cancel.status, 409, JSON.stringify(cancel.body));
      assert.match(JSON.stringify(cancel.body), /changing the server of shop-copy over/);
      process.kill(old, 'SIGCONT');
      assert.equal((await untilEnded(service, jobId)).status, 'succeeded');
    } finally {
      if ((await service.restoredServers()).includes(old)) process.kill(old, 'SIGCONT');
    }
    assert.deepEqual(await tableSums(urlOf(copy)), sums);
    assert.equal((await service.restoredServers()).length, 1);
    assert.equal(homes().length, 1);
  });

  test('is followed by an automated backup where the policy wants such', async () => {
    const answer = await service.request<{ instance: { id: string }; job_id: string }>(
      'POST',
      '/v3/{p}/instances',
      {
        name: 'with-policy',
        restore_point: { instance_id: sourceId, backup_id: backup.id },
        backup_strategy: { start_time: '02:00-03:00', keep_days: 7 },
      },
    );
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    const { id } = answer.body.instance;
    const ended = async () => {
      const { backups } = await listBackups(service, `instance_id=${id}&backup_type=auto`);
      return backups.length === 1 && backups[0]?.status === 'COMPLETED';
    };
    await until('the automated backup is completed', ended, 60_000);
    const none = await listBackups(service, `instance_id=${copy.id}`);
    assert.equal(none.total_count, 0, 'the policy of the other copy is off');
    const removed = await service.cli('instance', 'remove', 'with-policy', '--yes', '--json');
    assert.equal(removed.exitCode, 0, removed.stdout + removed.stderr);
  });

  test('is not offered for a server that Cairn did not start', async () => {
    const { status, body } = await recover('v3', sourceId);
    assert.deepEqual([status, body.error_code], [400, 'DBS.201207']);
    assert.deepEqual(await tableSums(server.url), sums);
  });

  test('goes by command line, with --yes only', async () => {
    await runAt(urlOf(copy), 'drop table orders');
    const args = ['restore', '--backup', backup.id, '--over', 'shop-copy', '--json'];
    const refused = await service.cli(...args);
    assert.equal(refused.exitCode, 2, refused.stdout);
    const done = await service.cli(...args, '--yes');
    assert.equal(done.exitCode, 0, done.stdout + done.stderr);
    assert.deepEqual(await tableSums(urlOf(copy)), sums);
  });

  test('leaves nothing when the instance is removed', async () => {
    await listBackups(service, `instance_id=${copy.id}`);
    const removed = await service.cli('instance', 'remove', 'shop-copy', '--yes', '--json');
    assert.equal(removed.exitCode, 0, removed.stdout + removed.stderr);
    assert.deepEqual(await service.restoredServers(), []);
    assert.deepEqual(homes(), []);
  });
});
