// An instance whose log is archived is restored to moments of its past, through the service and
// without it: exactly what was committed by then is there.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { appendFile, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import type { ShownInstanceWire } from '../../src/api/schema/log-archive.ts';
import { stopProcess } from '../../src/engines/postgresql/managed-server.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Commit } from '../fixtures/ledger.ts';
import { createLedger, ledgerSettings, writeLedger } from '../fixtures/ledger.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { register, untilFullBackup } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const patienceMs = 90_000;
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let commits: readonly Commit[];

type Windows = { restore_time: { start_time: number; end_time: number }[] };
type Restored = {
  instance: { id: string; host: string; port: number };
  job: { result: { target: string; position: string; timeline: number; last_commit_time: number } };
};

before(async () => {
  server = scene.use(await startPostgres({ version: '18', settings: ledgerSettings }));
  service = scene.use(await startService({ versions: ['18'] }));
  instanceId = await register(service, server.url);
  await createLedger(server);
  const hour = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
  await cairn('policy', 'set', 'shop-server', '--keep-days', '3', '--at', hour);
  const path = `/cairn/v1/{p}/instances/${instanceId}`;
  await until(
    'its log is followed',
    async () => {
      const { body } = await service.request<ShownInstanceWire>('GET', path);
      return body.log_archive?.status === 'following';
    },
    patienceMs,
  );
  await untilFullBackup(service, instanceId);
  commits = await writeLedger(server, 1, 45);
  const lastMs = atMs(45);
  await until(
    'all of it is archived',
    async () => ((await windows()).at(-1)?.end_time ?? 0) > lastMs + 1000,
    patienceMs,
  );
});
after(() => scene.disposeAsync());

async function cairn(...args: string[]) {
  const result = await service.cli(...args);
  assert.equal(result.exitCode, 0, result.stderr + result.stdout);
  return result;
}

async function windows(): Promise<Windows['restore_time']> {
  const path = `/v3/{p}/instances/${instanceId}/restore-time`;
  return (await service.request<Windows>('GET', path)).body.restore_time;
}

const commitOf = (id: number): Commit => commits[id - 1] ?? assert.fail();
/** The millisecond behind a commit, and before the next. */
const atMs = (id: number): number => Number(commitOf(id).atMicros / 1000n) + 1;
const countUntil = (ms: number): number =>
  commits.filter(({ atMicros }) => atMicros <= BigInt(ms) * 1000n).length;

async function countAt({ instance: { host, port } }: Restored): Promise<number> {
  const { username, password } = new URL(server.url);
  const client = new Client({ host, port, user: username, password, database: 'postgres' });
  await client.connect();
  try {
    return Number((await client.query('select count(*) as n from ledger')).rows[0]?.n);
  } finally {
    await client.end();
  }
}

suite('a point in time', () => {
  test('becomes a new instance, with a report of what was reached', async () => {
    const at = new Date(atMs(20));
    const restored = (
      await cairn(
        ...['restore', '--instance', 'shop-server', '--time', at.toISOString()],
        ...['--new-instance', 'of-the-past', '--json'],
      )
    ).json<Restored>();
    const expected = countUntil(at.getTime());
    assert.equal(await countAt(restored), expected);
    const { result } = restored.job;
    assert.equal(result.target, at.toISOString());
    assert.equal(result.timeline, 2);
    assert.equal(result.last_commit_time, Number(commitOf(expected).atMicros / 1000n));
  });

  test('replaces the data of an instance that Cairn has started', async () => {
    const { lsn } = commitOf(33);
    const restored = (
      await cairn(
        ...['restore', '--instance', 'shop-server', '--lsn', lsn, '--exclusive'],
        ...['--over', 'of-the-past', '--yes', '--json'],
      )
    ).json<Restored>();
    assert.equal(await countAt(restored), 33);
    assert.match(restored.job.result.position, /^postgresql:1:/);
  });

  test('outside of what is archived is refused with what is nearest', async () => {
    const far = new Date(Date.now() + 3_600_000).toISOString();
    const to = ['--new-instance', 'never'];
    const refused = await service.cli('restore', '--instance', instanceId, '--time', far, ...to);
    assert.equal(refused.exitCode, 2);
    assert.match(refused.stderr, /cannot be restored to .*\n?.*nearest is \d+/s);
    for (const [args, text] of [
      [['--instance', instanceId, '--time', '2026-01-05T03:30:00'], /is no moment/],
      [['--time', far], /--time needs --instance/],
      [['--instance', instanceId, '--name', 'x'], /--name needs --backup/],
      [['--instance', instanceId, '--time', far, '--latest'], /say one of --time, --latest/],
      [['--instance', instanceId, '--latest', '--exclusive'], /--exclusive goes with/],
      [[], /say --backup ID, or --instance/],
    ] as const) {
      const wrong = await service.cli('restore', ...args, ...to);
      assert.equal(wrong.exitCode, 2);
      assert.match(wrong.stderr, text);
    }
  });

  test('is prepared in a folder from the storage alone', async () => {
    const dir = join(service.dataDir, 'restored');
    const at = new Date(atMs(20)).toISOString();
    const what = ['restore', '--instance', instanceId, '--time', at];
    const { startCommands } = (await cairn(...what, '--to', dir, '--json')).json<{
      startCommands: string[];
    }>();
    const config = await readFile(join(dir, 'postgresql.auto.conf'), 'utf8');
    assert.match(config, /recovery_target_time = '.*\+00'/);
    assert.ok(existsSync(join(dir, 'recovery.signal')));
    const plan = await readFile(`${dir}-recovery/recovery.json`, 'utf8');
    const key = (await readFile(join(service.dataDir, 'master.key'), 'utf8')).trim();
    assert.ok(!plan.includes(key), 'the key is in nobody’s plan');
    const [first, second] = (JSON.parse(plan) as { files: { segments: { name: string }[] } }).files
      .segments;
    assert.ok(first && second);
    const target = join(dir, 'pg_wal', 'RECOVERYXLOG');
    const run = (name: string) => fetch(`${dir}-recovery/wal-get.sh`, name, target);
    assert.equal(await run(first.name), 0);
    const wal = await readFile(join(server.dataDir, 'pg_wal', first.name));
    assert.ok((await readFile(target)).equals(wal), 'it is what the server wrote');
    assert.ok((await readdir(`${dir}-recovery/spool`)).includes(second.name), 'read ahead');
    assert.equal(await run('00000009.history'), 1);
    await rename(join(service.dataDir, 'repository'), join(service.dataDir, 'away'));
    try {
      assert.equal(await run(second.name), 0, 'what lies ready needs no storage');
      assert.ok((await run(first.name)) > 125, 'nobody can tell');
    } finally {
      await rename(join(service.dataDir, 'away'), join(service.dataDir, 'repository'));
    }
    assert.equal(await countInFolder(dir, startCommands), countUntil(atMs(20)));
  });
});

/** As somebody would do it by hand, once its user may read storage and key. */
async function countInFolder(dir: string, startCommands: readonly string[]): Promise<number> {
  const shell = async (command: string) => {
    const env = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' };
    const result = await runCommand('/bin/sh', ['-c', command], { timeoutMs: 60_000, env });
    const log = await readFile(join(dir, 'server.log'), 'utf8').catch(() => '');
    assert.equal(result.exitCode, 0, `${command}: ${result.stderr}${log.slice(-2000)}`);
  };
  const { dataDir } = service;
  await shell(`cd '${dataDir}' && chmod a+rx . && chmod -R a+rX repository master.key`);
  const port = await findFreePort();
  await appendFile(join(dir, 'postgresql.auto.conf'), `port = ${port}\n`);
  try {
    // The server keeps the pipes that it is started with.
    for (const command of startCommands) await shell(`${command} > /dev/null 2>&1`);
    const restored = { instance: { id: '', host: '127.0.0.1', port } } as Restored;
    return await countAt(restored);
  } finally {
    const pid = (await readFile(join(dir, 'postmaster.pid'), 'utf8').catch(() => '')).split(
      '\n',
    )[0];
    if (pid) await stopProcess(Number(pid), systemClock);
  }
}

async function fetch(script: string, name: string, target: string): Promise<number> {
  const args = [script, name, target];
  return (await runCommand('/bin/sh', args, { timeoutMs: 60_000 })).exitCode;
}
