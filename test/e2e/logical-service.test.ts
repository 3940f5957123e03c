// A backup of single databases as somebody makes and uses it: asked for with the command line,
// downloaded, restored to another server, and taken out of the repository without the service.
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BackupFilesWire } from '../../src/api/schema/download.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { register, showBackup } from '../fixtures/service-calls.ts';
import { tableSums } from '../fixtures/table-sums.ts';

const scene = new AsyncDisposableStack();
let source: TestServer;
let target: TestServer;
let service: TestService;
let backupId: string;

before(async () => {
  source = scene.use(await startPostgres({ version: 'debian-15' }));
  target = scene.use(await startPostgres({ version: 'debian-15' }));
  service = scene.use(await startService({ versions: [] }));
  await chmod(service.folder, 0o755);
  for (const name of ['shop', 'Kunden 1']) {
    await source.query(`create database "${name}"`);
    await runIn(
      name,
      `create table t as select g as id, 'x' || g as x from generate_series(1, 5000) g`,
    );
  }
  await register(service, source.url, 'source-server');
  await register(service, target.url, 'target-server');
});
after(() => scene.disposeAsync());

function urlIn(server: TestServer, database: string): string {
  const url = new URL(server.url);
  url.pathname = `/${encodeURIComponent(database)}`;
  return url.href;
}

async function runIn(database: string, sql: string): Promise<void> {
  const args = [urlIn(source, database), '-v', 'ON_ERROR_STOP=1', '-c', sql];
  const done = await runCommand('psql', args, { timeoutMs: 30_000 });
  assert.equal(done.exitCode, 0, done.stderr);
}

async function cli(...args: string[]): Promise<CliResult> {
  const result = await service.cli(...args);
  assert.equal(result.exitCode, 0, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result;
}

test('is made of the databases that were named', async () => {
  const unknown = await service.cli(
    ...['backup', 'create', '--instance', 'source-server', '--database', 'shoop', '--wait'],
  );
  assert.notEqual(unknown.exitCode, 0);
  assert.match(unknown.stderr, /no database “shoop”/);
  await cli(
    ...['backup', 'create', '--instance', 'source-server', '--name', 'two-databases', '--wait'],
    ...['--database', 'shop', 'Kunden 1'],
  );
  const answer = await service.request<{ backups: { id: string; databases: unknown }[] }>(
    ...(['GET', '/cairn/v1/{p}/backups'] as const),
  );
  const [backup] = answer.body.backups;
  assert.deepEqual(backup?.databases, [{ name: 'shop' }, { name: 'Kunden 1' }]);
  backupId = backup?.id ?? '';
  assert.equal((await showBackup(service, backupId)).status, 'COMPLETED');
});

test('is downloaded as one file for each database, which pg_restore reads', async () => {
  const path = `/v3/{p}/backup-files?backup_id=${backupId}`;
  const { files } = (await service.request<BackupFilesWire>('GET', path)).body;
  assert.deepEqual(
    files.map(({ name, database_name }) => [name, database_name]),
    [
      ['shop.dump', 'shop'],
      ['Kunden_1.dump', 'Kunden 1'],
      ['globals.sql', null],
      ['contents.json', null],
    ],
  );
  const { instance_id } = await showBackup(service, backupId);
  const inside = `/v3/{p}/instances/${instance_id}/database/db-table-name?backup_id=${backupId}`;
  const contents = await service.request<{ databases: object[] }>('GET', inside);
  assert.deepEqual(
    contents.body.databases.map((one) => ({ ...one, backup_file_size: 0 })),
    [
      { database_name: 'shop', backup_file_name: 'shop.dump', backup_file_size: 0 },
      { database_name: 'Kunden 1', backup_file_name: 'Kunden_1.dump', backup_file_size: 0 },
    ],
  );
  const folder = join(service.folder, 'fetched');
  await mkdir(folder);
  await cli('backup', 'download', backupId, '--to', folder);
  const dump = join(folder, 'Kunden_1.dump');
  const listed = await runCommand('pg_restore', ['--list', dump], { timeoutMs: 10_000 });
  assert.match(listed.stdout, /TABLE DATA public t postgres/);
  const headers = { range: 'bytes=100-199' };
  const part = await fetch(files[1]?.download_link ?? '', { headers });
  assert.equal(part.status, 206);
  const whole = await readFile(dump);
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(100, 200)));
});

test('is restored into another server, whose databases stay', async () => {
  const restored = await cli(
    ...['restore', '--backup', backupId, '--into', 'target-server'],
    ...['--database', 'shop', 'Kunden 1=clients'],
  );
  assert.match(restored.stdout, /Kunden 1 is clients in target-server: 1 tables, 5000 rows/);
  for (const [old, name] of [
    ['shop', 'shop'],
    ['Kunden 1', 'clients'],
  ] as const) {
    assert.deepEqual(await tableSums(urlIn(target, name)), await tableSums(urlIn(source, old)));
  }
  const again = await service.cli(
    ...['restore', '--backup', backupId, '--into', 'target-server', '--database', 'shop'],
  );
  assert.notEqual(again.exitCode, 0);
  assert.match(again.stderr, /has a database “shop” already/);
});

test('comes out of the repository without the service, with commands to import it', async () => {
  const folder = join(service.folder, 'taken out');
  const done = await cli('restore', '--backup', backupId, '--to', folder);
  assert.match(done.stdout, /import the databases with/);
  const names = ['Kunden_1.dump', 'contents.json', 'globals.sql', 'shop.dump'];
  assert.deepEqual((await readdir(folder)).sort(), names);
  const commands = done.stdout.split('\n').filter((line) => line.startsWith('  '));
  assert.equal(commands.length, 4);
});
