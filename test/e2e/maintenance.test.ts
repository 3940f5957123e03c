// Prune and check as an operator runs them, on the backups of a real server.
import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { JobDetailWire } from '../../src/api/schema/job.ts';
import type {
  AskedJobsWire,
  CheckReportWire,
  PruneReportWire,
} from '../../src/api/schema/maintenance.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp, objectsOf, register, untilEnded } from '../fixtures/service-calls.ts';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let firstId: string;
let secondId: string;

const repositoryDir = (): string => join(service.dataDir, 'repository');

before(async () => {
  server = scene.use(await startPostgres({ version: '17' }));
  await server.query(
    'create table notes as select g, md5(g::text) from generate_series(1, 9999) g',
  );
  service = scene.use(await startService());
  instanceId = await register(service, server.url);
  firstId = (await backUp(service, instanceId, 'first')).id;
  await server.query("update notes set md5 = 'changed' where g > 5000");
  secondId = (await backUp(service, instanceId, 'second')).id;
});
after(() => scene.disposeAsync());

async function pruneReport(...args: string[]): Promise<PruneReportWire> {
  const result = await service.cli('prune', '--instance', 'shop-server', '--json', ...args);
  assert.equal(result.exitCode, 0, result.stdout + result.stderr);
  const [job] = result.json<{ jobs: JobDetailWire[] }>().jobs;
  assert.equal(job?.result?.kind, 'prune');
  return job.result;
}

suite('cairn prune', () => {
  test('deletes a leftover when it has been one for the grace period', async () => {
    const folder = `instances/${instanceId}/backups/${'9'.repeat(32)}br03/packs`;
    const leftover = join(repositoryDir(), folder, 'dead-000000');
    await mkdir(dirname(leftover), { recursive: true });
    await writeFile(leftover, 'left over');
    const plan = await pruneReport('--dry-run');
    assert.deepEqual([plan.dry_run, plan.removed.count, plan.waiting.count], [true, 0, 1]);
    const first = await pruneReport();
    assert.deepEqual([first.removed.count, first.waiting], [0, { count: 1, bytes: 9 }]);
    assert.equal(await readFile(leftover, 'utf8'), 'left over');
    passGrace();
    assert.deepEqual((await pruneReport('--dry-run')).removed, { count: 1, bytes: 9 });
    const result = await service.cli('prune');
    assert.equal(result.exitCode, 0, result.stderr);
    assert.match(
      result.stdout,
      /INSTANCE +DELETED +WAITING +NEEDED\nshop-server +1 +9 B +0 +0 B +/,
    );
    await assert.rejects(readFile(leftover), { code: 'ENOENT' });
    assert.equal((await service.cli('check', '--read-data')).exitCode, 0);
  });

  test('says what is wrong with what it is asked', async () => {
    const unknown = await service.cli('prune', '--instance', 'nobody', '--json');
    assert.equal(unknown.exitCode, 3, unknown.stdout);
    const gone = await service.cli('prune', '--instance', `${'8'.repeat(32)}in03`, '--json');
    assert.equal(gone.exitCode, 3, gone.stdout);
  });
});

/** As if the day had passed since the first run. */
function passGrace(): void {
  const catalog = new DatabaseSync(join(service.dataDir, 'catalog.sqlite'));
  catalog.exec('update prune_candidates set first_seen_at = first_seen_at - 25 * 3600 * 1000');
  catalog.close();
}

async function check(...args: string[]) {
  const result = await service.cli('check', '--json', ...args);
  return { ...result, report: result.json<CheckReportWire>() };
}

async function withDamage(object: string, work: () => Promise<void>): Promise<void> {
  const path = join(repositoryDir(), object);
  const aside = join(service.folder, 'aside');
  await copyFile(path, aside);
  try {
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    await writeFile(path, bytes);
    await work();
  } finally {
    await rename(aside, path);
  }
}

const packOf = (id: string): string =>
  objectsOf(repositoryDir(), id).find((name) => name.includes('/packs/')) ?? assert.fail('no pack');

suite('cairn check', () => {
  test('finds a sound repository sound, with and without reading data', async () => {
    const { exitCode, report } = await check();
    assert.deepEqual([exitCode, report.verdict, report.findings], [0, 'sound', []]);
    assert.equal(report.counts.backups, 2);
    const full = (await check('--read-data', '--instance', 'shop-server')).report;
    assert.equal(full.verdict, 'sound');
    assert.equal(full.counts.packs_read, full.counts.packs);
    assert.ok(full.counts.pages_compared > 1000);
    const text = await service.cli('check', '--read-data', '10', '--seed', 'x');
    assert.match(text.stdout, /sample of seed x\n[\s\S]*\nsound\n$/);
  });

  test('names a damaged pack and both backups that need it', async () => {
    const pack = packOf(firstId);
    await withDamage(pack, async () => {
      assert.equal((await check()).exitCode, 0, 'its structure is whole');
      const { exitCode, report } = await check('--read-data');
      assert.deepEqual([exitCode, report.verdict], [1, 'damaged']);
      const [finding, ...others] = report.findings;
      assert.equal(others.length, 0);
      assert.equal(finding?.object, pack);
      assert.deepEqual(finding.backup_ids, [firstId, secondId].sort());
      const text = await service.cli('check', '--read-data');
      assert.equal(text.exitCode, 1);
      assert.match(text.stdout, new RegExp(`damaged: object ${pack}[\\s\\S]*DAMAGED`));
    });
  });

  test('as a job fails with what it has found, and knows what the catalog counts on', async () => {
    const manifest = `instances/${instanceId}/backups/${firstId}/manifest`;
    const aside = join(service.folder, 'manifest');
    assert.equal((await checkJob()).status, 'succeeded');
    await rename(join(repositoryDir(), manifest), aside);
    const job = await checkJob();
    await rename(aside, join(repositoryDir(), manifest));
    assert.equal(job.error?.kind, 'repository-damaged');
    assert.ok(job.error.message.includes(manifest), job.error.message);
    assert.equal(job.result?.kind, 'check');
    assert.deepEqual(
      job.result.findings.map(({ object, backup_ids }) => [object, backup_ids]),
      [[manifest, [firstId]]],
    );
    assert.equal((await checkJob()).status, 'succeeded');
  });

  test('that cannot look says so with a code of its own', async () => {
    const elsewhere = { ...service.environment, CAIRN_STORAGE: 'file:///nowhere/at/all' };
    const args = ['check', '--data', service.dataDir, '--json'];
    const nowhere = await runCairn(args, { environment: elsewhere });
    assert.equal(nowhere.exitCode, 2, nowhere.stdout);
    assert.equal(nowhere.json<{ error: { kind: string } }>().error.kind, 'not-found');
    const unknown = await service.cli('check', '--instance', 'nobody', '--json');
    assert.equal(unknown.exitCode, 2, unknown.stdout);
    const share = await service.cli('check', '--read-data', '0', '--json');
    assert.equal(share.exitCode, 2, share.stdout);
  });

  test('needs no service', async () => {
    const copy = join(service.folder, 'elsewhere');
    await mkdir(copy);
    const masterKey = (await readFile(join(service.dataDir, 'master.key'), 'utf8')).trim();
    const environment = {
      ...{ CAIRN_MASTER_KEY: masterKey, CAIRN_DATA: copy },
      CAIRN_STORAGE: pathToFileURL(repositoryDir()).href,
    };
    const result = await runCairn(['check', '--read-data', '--json'], { environment });
    assert.equal(result.exitCode, 0, result.stdout + result.stderr);
    assert.ok(!result.stdout.includes(masterKey));
    await rm(copy, { recursive: true });
  });
});

async function checkJob(): Promise<JobDetailWire> {
  const body = { instance_id: instanceId, read_data_percent: 50 };
  const answer = await service.request<AskedJobsWire>('POST', '/cairn/v1/{p}/check', body);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return await untilEnded(service, answer.body.jobs[0]?.job_id ?? '');
}

suite('cairn key rotate', () => {
  test('gives new backups a new key, and all stay readable', async () => {
    const both = await service.cli('key', 'rotate', '--instance', 'shop-server', '--all', '--json');
    assert.equal(both.exitCode, 2, both.stdout);
    const rotated = await service.cli('key', 'rotate', '--all');
    assert.equal(rotated.exitCode, 0, rotated.stdout + rotated.stderr);
    assert.equal(rotated.stdout, `shop-server: ${instanceId}.2\n`);
    const { id } = await backUp(service, instanceId, 'with-the-new-key');
    const manifest = join(repositoryDir(), `instances/${instanceId}/backups/${id}/manifest`);
    assert.ok((await readFile(manifest)).subarray(0, 100).includes(`${instanceId}.2`));
    const { exitCode, report } = await check('--read-data');
    assert.deepEqual([exitCode, report.counts.keys, report.counts.backups], [0, 2, 3]);
  });
});
