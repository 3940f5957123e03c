// A worker is killed while a restored server replays archived log: the next attempt begins anew and
// succeeds, and of the server that nobody feeds any more nothing is left.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import type { ArchivedServer } from '../fixtures/archived-server.ts';
import { startArchivedServer } from '../fixtures/archived-server.ts';
import { showJob, untilEnded } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const segmentCount = 20;
const scene = new AsyncDisposableStack();
let archived: ArchivedServer;

before(async () => {
  archived = scene.use(await startArchivedServer({ version: '18' }));
  const { server, writer } = archived;
  await archived.backUp('base');
  // Many files of log: replay takes its time.
  for (let count = 0; count < segmentCount; count++) {
    await delay(50);
    await server.query('select pg_switch_wal()');
  }
  await writer.stop();
  await archived.untilCovered();
});
after(() => scene.disposeAsync());

async function countRows(host: string, port: number): Promise<number> {
  const { username, password } = new URL(archived.server.url);
  const client = new Client({ host, port, user: username, password, database: 'postgres' });
  await client.connect();
  try {
    return Number((await client.query('select count(*) as n from ledger')).rows[0]?.n);
  } finally {
    await client.end();
  }
}

suite('a worker killed while log is replayed', () => {
  test('the next attempt restores all of it, and one server runs', async () => {
    const { service, instanceId, writer } = archived;
    const latest = ['--latest', '--new-instance', 'of-the-past', '--json'];
    const restoring = service.cli('restore', '--instance', instanceId, ...latest);
    const jobId = await until('the job is there', findRestoreJob);
    await until('log is replayed', async () => {
      const { progress } = await showJob(service, jobId);
      const [pid] = await service.restoredServers();
      return progress?.phase === 'replaying' && pid !== undefined;
    });
    const [pid] = await service.workers();
    process.kill(Number(pid), 'SIGKILL');
    const job = await untilEnded(service, jobId, 120_000);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.ok(job.attempt > 1, 'it was killed in its first attempt');
    const { exitCode, stderr, json } = await restoring;
    assert.equal(exitCode, 0, stderr);
    const { instance } = json<{ instance: { host: string; port: number } }>();
    assert.equal(await countRows(instance.host, instance.port), writer.commits.length);
    await delay(500);
    const postmasters = await service.restoredServers();
    assert.equal(postmasters.length, 1, `servers run: ${postmasters}`);
  });
});

async function findRestoreJob(): Promise<string | undefined> {
  type Jobs = { jobs: { id: string; kind: string }[] };
  const { body } = await archived.service.request<Jobs>('GET', '/cairn/v1/{p}/jobs');
  return body.jobs.find(({ kind }) => kind === 'restore-new-instance')?.id;
}
