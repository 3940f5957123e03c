// The log of a real server is archived by a real service: as soon as its policy is on, through the
// death of the worker, until the policy is off. In the end the storage holds what the server wrote.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { LogArchiveWire, ShownInstanceWire } from '../../src/api/schema/log-archive.ts';
import type { CheckReportWire } from '../../src/api/schema/maintenance.ts';
import type { TaskWire } from '../../src/api/schema/task-list.ts';
import type { InstanceId, LogStreamId } from '../../src/model/ids.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { openRepository } from '../../src/repository/open-repository.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { never } from '../fixtures/repositories.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { listBackups, register, untilFullBackup } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const patienceMs = 60_000;
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;

before(async () => {
  server = scene.use(await startPostgres({ version: '18', settings: { wal_keep_size: '1GB' } }));
  service = scene.use(
    await startService({ versions: ['18'], environment: { CAIRN_LOG_INTERVAL_MS: '3000' } }),
  );
  instanceId = await register(service, server.url);
  await server.query('create table notes (id serial, text text)');
});
after(() => scene.disposeAsync());

async function showArchive(): Promise<LogArchiveWire | null> {
  const path = `/cairn/v1/{p}/instances/${instanceId}`;
  return (await service.request<ShownInstanceWire>('GET', path)).body.log_archive;
}

async function write(text: string): Promise<void> {
  await server.query(`insert into notes (text) select '${text}' from generate_series(1, 2000)`);
}

async function slots(): Promise<readonly string[]> {
  const rows = await server.query('select slot_name from pg_replication_slots');
  return rows.map((row) => String(row['slot_name']));
}

async function setPolicy(...args: string[]): Promise<void> {
  const result = await service.cli('policy', ...args);
  assert.equal(result.exitCode, 0, result.stderr);
}

/** A moment after now by the server's clock is covered. */
async function untilCovered(): Promise<void> {
  const nowMs = Date.now();
  await until(
    'what was written is covered',
    async () => {
      const coveredUntil = (await showArchive())?.covered_until;
      return coveredUntil && new Date(coveredUntil.replace('+0000', 'Z')).getTime() > nowMs;
    },
    patienceMs,
  );
}

async function countIncremental(): Promise<number> {
  const query = `instance_id=${instanceId}&backup_type=incremental`;
  return (await listBackups(service, query)).total_count;
}

/** Not now: it shall bring no full backup. */
function otherWindow(): string {
  return new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
}

suite('an archived log', () => {
  test('is followed when the policy is on, and shown as incremental backups', async () => {
    assert.equal(await showArchive(), null);
    await setPolicy('set', 'shop-server', '--keep-days', '3', '--at', otherWindow());
    await until(
      'it is followed',
      async () => (await showArchive())?.status === 'following',
      patienceMs,
    );
    for (let round = 0; round < 3; round++) {
      await write(`round ${round}`);
      await untilCovered();
    }
    await until('two intervals', async () => (await countIncremental()) >= 2, patienceMs);
    const shown = await service.cli('instance', 'show', 'shop-server');
    assert.match(shown.stdout, /log archive: +following/);
    assert.match(shown.stdout, /at risk now: +\d+ s/);
    const listed = await service.cli('backup', 'list', '--type', 'incremental');
    assert.match(listed.stdout, /incremental-shop-server-\d{8}T\d{6} +incremental +COMPLETED/);
    const query = `instance_id=${instanceId}&backup_type=incremental`;
    const [first] = (await listBackups(service, query)).backups;
    assert.ok(first);
    const refused = await service.cli('backup', 'delete', first.id);
    assert.notEqual(refused.exitCode, 0);
    await untilFullBackup(service, instanceId);
    const { body } = await service.request<{ tasks: TaskWire[] }>('GET', '/v3/{p}/tasklist');
    const archiving = body.tasks.filter(({ name }) => name === 'ArchiveLog');
    assert.deepEqual([body.tasks.length, archiving], [1, []], 'nobody waits for such a job');
    const { counts } = (await service.cli('check', '--json')).json<CheckReportWire>();
    assert.equal(counts.log_streams, 1);
    assert.ok(counts.log_intervals >= 2 && counts.log_pieces >= 1 && counts.log_bytes > 0);
    const text = (await service.cli('check')).stdout;
    assert.match(text, /archived log: +1 streams, \d+ intervals, \d+ pieces/);
  });

  test('goes on without a hole when its worker is killed', async () => {
    const before = await showArchive();
    const [pid] = await service.workers();
    process.kill(Number(pid), 'SIGKILL');
    await write('while nobody is there');
    await server.query('select pg_switch_wal()');
    await write('afterwards');
    await untilCovered();
    const now = await showArchive();
    assert.equal(now?.stream_id, before?.stream_id, 'it is the same stream');
    assert.equal(now?.last_gap, null);
  });

  test('stops with the policy, and the server keeps nothing for us', async () => {
    assert.equal((await slots()).length, 1);
    const { stream_id: streamId } = (await showArchive()) ?? assert.fail();
    await setPolicy('off', 'shop-server');
    await until(
      'it has stopped',
      async () => (await showArchive())?.status === 'stopped',
      patienceMs,
    );
    assert.deepEqual(await slots(), []);
    await service.kill('SIGTERM');
    await assertStored(streamId as LogStreamId);
    await service.start();
  });

  test('goes with its instance', async () => {
    const refused = await service.cli('instance', 'remove', 'shop-server');
    assert.match(refused.stderr, /its archived log would be deleted/);
    const removed = await service.cli('instance', 'remove', 'shop-server', '--yes');
    assert.equal(removed.exitCode, 0, removed.stderr);
    assert.equal(await countIncremental(), 0);
  });
});

/** The storage holds the server's own files, byte for byte and without a hole. */
async function assertStored(streamId: LogStreamId): Promise<void> {
  const url = pathToFileURL(join(service.dataDir, 'repository')).href;
  const quietly = { clock: systemClock, random: systemRandom, log: silentLogger };
  const key = await readFile(join(service.dataDir, 'master.key'), 'utf8');
  await using repository = await openRepository({
    ...{ storage: await openStorage(url, quietly), masterKey: MasterKey.parse(key.trim()) },
    ...{ random: systemRandom, ownerId: null, expectedId: null, now: new Date(), signal: never },
  });
  const id = instanceId as InstanceId;
  const { pieces, intervals } = await repository.log.surveyStream(id, streamId, never);
  const names = [...new Set(pieces.map(({ file }) => file.name))];
  assert.ok(names.length >= 2, 'a segment was switched');
  for (const [index, name] of names.entries()) {
    const { bytes, isComplete } = await repository.log.readFile(id, streamId, name, never);
    const own = await readFile(join(server.dataDir, 'pg_wal', name));
    assert.equal(isComplete, index < names.length - 1, name);
    assert.ok(bytes.equals(own.subarray(0, bytes.byteLength)), `${name} differs`);
    if (isComplete) {
      const pieceCount = pieces.filter(({ file }) => file.name === name).length;
      assert.deepEqual([bytes.byteLength, pieceCount], [own.byteLength, 1], 'whole, in one piece');
    }
  }
  for (const [index, { sequence, startPosition }] of intervals.entries()) {
    assert.equal(sequence, index);
    const before = intervals[index - 1];
    if (before) assert.deepEqual(startPosition, before.endPosition);
  }
}
