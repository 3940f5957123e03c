// Backups outlive their instance. Whoever restores one then gets the users and passwords of the
// backup as they were, also from a cluster that has no role `postgres`.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import type { BackupDetailWire } from '../../src/api/schema/backup.ts';
import type { RegisteredInstanceWire } from '../../src/api/schema/registered-instance.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register } from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let backup: BackupDetailWire;
let sums: Record<string, string>;
let verifiers: string;
let copy: RegisteredInstanceWire;

const passwords = 'select rolname, rolpassword from pg_authid where rolpassword is not null';

before(async () => {
  server = scene.use(await startPostgres({ version: '17', superuser: 'boss' }));
  service = scene.use(await startService({ versions: ['17'] }));
  await server.query('create table orders as select g as id from generate_series(1, 5000) g');
  await server.query("create role saver login replication password 'pw-of-saver'");
  const url = new URL(server.url);
  url.username = 'saver';
  url.password = 'pw-of-saver';
  const sourceId = await register(service, url.href);
  backup = await backUp(service, sourceId, 'the-last-one');
  sums = await tableSums(server.url);
  verifiers = JSON.stringify(await server.query(`${passwords} order by 1`));
  const removed = await service.cli('instance', 'remove', 'shop-server', '--yes', '--json');
  assert.equal(removed.exitCode, 0, removed.stdout + removed.stderr);
});
after(() => scene.disposeAsync());

const urlOf = ({ port }: RegisteredInstanceWire): string => atPort(server.url, port ?? 0);

async function verifiersAt(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const sql = `${passwords} and rolname not like 'cairn%' order by 1`;
    return JSON.stringify((await client.query(sql)).rows);
  } finally {
    await client.end();
  }
}

async function show(): Promise<RegisteredInstanceWire> {
  const path = `/cairn/v1/{p}/instances/${copy.id}`;
  return (await service.request<{ instance: RegisteredInstanceWire }>('GET', path)).body.instance;
}

suite('a backup whose instance is gone', () => {
  test('is restored with every password as it was', async () => {
    const args = ['restore', '--backup', backup.id, '--new-instance', 'heir', '--json'];
    const restored = await service.cli(...args);
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    copy = restored.json<{ instance: RegisteredInstanceWire }>().instance;
    assert.deepEqual(await tableSums(urlOf(copy)), sums);
    assert.equal(await verifiersAt(urlOf(copy)), verifiers);
    assert.equal((await show()).user, `cairn_${copy.id.slice(0, 8)}`);
    await backUp(service, copy.id, 'of-the-heir');
  });

  test('is restored over another instance, which keeps its login', async () => {
    const { user } = await show();
    const args = ['restore', '--backup', backup.id, '--over', 'heir', '--yes', '--json'];
    const restored = await service.cli(...args);
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    assert.deepEqual(await tableSums(urlOf(copy)), sums);
    assert.equal(await verifiersAt(urlOf(copy)), verifiers);
    assert.equal((await show()).user, user);
    await backUp(service, copy.id, 'of-the-heir-again');
  });

  test('leaves a server that only its own host removes', async () => {
    const servers = join(service.dataDir, 'servers');
    const idPath = join(servers, '.cairn-servers');
    const id = await readFile(idPath, 'utf8');
    await writeFile(idPath, 'of-another-host\n');
    const refused = await service.cli('instance', 'remove', 'heir', '--yes', '--json');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stdout + refused.stderr, /lives on host .* which is not the folder here/);
    assert.equal((await service.restoredServers()).length, 1);
    await writeFile(idPath, id);
    const removed = await service.cli('instance', 'remove', 'heir', '--yes', '--json');
    assert.equal(removed.exitCode, 0, removed.stdout + removed.stderr);
    assert.deepEqual(await service.restoredServers(), []);
    assert.deepEqual(readdirSync(servers), ['.cairn-servers']);
    assert.equal(readFileSync(idPath, 'utf8'), id);
  });
});
