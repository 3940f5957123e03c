// An instance of SQL Server as somebody uses it: registered, backed up in full, in part and in what
// has changed, its log archived, restored beside what it has, in its place, and to a moment. The
// server is the small one of `tds/`: what is shown here is Cairn, not SQL Server.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BackupWire, CreateBackupResponse } from '../../src/api/schema/backup.ts';
import type { RegisterInstanceResponse } from '../../src/api/schema/registered-instance.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  backUp,
  listBackups,
  showBackup,
  showInstance,
  untilEnded,
  untilFullBackup,
  untilLogCovered,
} from '../fixtures/service-calls.ts';
import type { SqlDatabase } from '../fixtures/tds/sql-database.ts';
import type { SqlServer } from '../fixtures/tds/sql-server.ts';
import { startSqlServer } from '../fixtures/tds/sql-server.ts';
import { findDatabase } from '../fixtures/tds/sql-world.ts';
import { until } from '../fixtures/until.ts';

const scene = new AsyncDisposableStack();
const password = 'a-password-nobody-should-see';
const onServer = '\\\\files\\cairn';
let folder: string;
let server: SqlServer;
let service: TestService;
let instanceId: string;
let url: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-sqlserver-service-'));
  scene.defer(() => rm(folder, { recursive: true, force: true }));
  server = scene.use(
    await startSqlServer({
      users: new Map([['backup', password]]),
      ...{ folderHere: folder, folderOnServer: onServer },
      databases: {
        shop: { pageCount: 60, recoveryModel: 'FULL' },
        crm: { pageCount: 20, recoveryModel: 'FULL' },
      },
    }),
  );
  const environment = { CAIRN_LOG_INTERVAL_MS: '3000' };
  service = scene.use(await startService({ versions: [], environment }));
  await chmod(service.folder, 0o755);
  url =
    `sqlserver://backup:${password}@localhost:${server.port}/?encrypt=false&logBackupSeconds=10` +
    `&backupFolder=${encodeURIComponent(onServer)}&backupFolderHere=${encodeURIComponent(folder)}`;
});
after(() => scene.disposeAsync());

const database = (name: string): SqlDatabase => findDatabase(server.world, name);
const pagesOf = (name: string): readonly unknown[] => [...database(name).pages];

function write(name: string, ...pages: readonly number[]): void {
  for (const page of pages) database(name).write(page, server.world.now());
}

async function request<T>(method: string, path: string, body?: object) {
  return await service.request<T>(method, path, body);
}

async function askForBackup(body: object): Promise<{ status: number; code: string; id: string }> {
  type Answer = CreateBackupResponse & { readonly error_code: string };
  const wanted = { instance_id: instanceId, ...body };
  const answer = await request<Answer>('POST', '/v3/{p}/backups', wanted);
  const { status } = answer;
  if (status !== 200) return { status, code: answer.body.error_code, id: '' };
  const job = await untilEnded(service, answer.body.job_id);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  return { status, code: '', id: answer.body.backup.id };
}

async function recover(version: 'v3' | 'v3.1', source: object, more: object = {}) {
  const body = {
    source: { instance_id: instanceId, ...source },
    target: { instance_id: instanceId },
    ...more,
  };
  type Answer = {
    readonly job_id: string;
    readonly error_code: string;
    readonly error_msg: string;
  };
  return await request<Answer>('POST', `/${version}/{p}/instances/recovery`, body);
}

suite('an instance of SQL Server', () => {
  let full: BackupWire;
  let pagesOfFull: readonly unknown[];
  let moment: string;
  let pagesAtMoment: readonly unknown[];

  test('is one of the engines, and registered with where its backups are handed over', async () => {
    const offered = await request<{ dataStores: { name: string }[] }>(
      'GET',
      '/v3/{p}/datastores/sqlserver',
    );
    assert.ok(offered.body.dataStores.some(({ name }) => name === '2022_SE'));
    const body = {
      ...{ name: 'sql', engine: 'sqlserver', host: 'localhost', port: server.port },
      ...{ user: 'backup', password, sslmode: 'disable' },
      options: { backupFolder: onServer, backupFolderHere: folder, logBackupSeconds: '10' },
    };
    const path = '/cairn/v1/{p}/instances';
    const wrong = { ...body, options: { ...body.options, sslmode: 'require' } };
    const refused = await request<{ error_msg: string }>('POST', path, wrong);
    assert.equal(refused.status, 400);
    assert.match(refused.body.error_msg, /sslmode is no option of engine sqlserver/i);
    const answer = await request<RegisterInstanceResponse>('POST', path, body);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    instanceId = answer.body.instance.id;
    assert.match(instanceId, /in04$/);
    assert.deepEqual(answer.body.instance.options, body.options);
    assert.equal(answer.body.instance.server_version, '16.0.4195.2-EE');
    const removed = await service.cli('instance', 'remove', 'sql', '--yes');
    assert.equal(removed.exitCode, 0, removed.stderr);
  });

  test('is registered on the command line, shown and checked', async () => {
    const added = await service.cli('instance', 'add', '--name', 'sql', '--url', url);
    assert.equal(added.exitCode, 0, added.stderr);
    instanceId = added.stdout.trim();
    const shown = await service.cli('instance', 'show', 'sql');
    assert.match(shown.stdout, /sqlserver 16\.0\.4195\.2-EE/);
    assert.ok(shown.stdout.includes(onServer), shown.stdout);
    assert.ok(!shown.stdout.includes(password));
    const checked = await service.cli('instance', 'check', 'sql');
    assert.equal(checked.exitCode, 0, checked.stderr);
    type Listed = { instances: { datastore: object }[] };
    const listed = await request<Listed>('GET', `/v3/{p}/instances?id=${instanceId}`);
    assert.deepEqual(listed.body.instances[0]?.datastore, {
      ...{ type: 'SQLServer', version: '2022_EE', complete_version: '16.0.4195.2-EE' },
    });
  });

  test('is backed up, and leaves nothing where backups are handed over', async () => {
    const backup = await backUp(service, instanceId, 'first-full');
    pagesOfFull = pagesOf('shop');
    assert.deepEqual(backup.datastore, { type: 'SQLServer', version: '2022_EE' });
    full = backup;
    assert.deepEqual(await readdir(folder), []);
  });

  test('is backed up in part, and in what has changed', async () => {
    const partial = await askForBackup({ name: 'only-crm', databases: [{ name: 'crm' }] });
    assert.deepEqual((await showBackup(service, partial.id)).databases, [{ name: 'crm' }]);
    const unknown = await askForBackup({ name: 'none-such', databases: [{ name: 'nonesuch' }] });
    assert.deepEqual([unknown.status, unknown.code], [400, 'DBS.280128']);
    const own = await askForBackup({ name: 'the-server', databases: [{ name: 'msdb' }] });
    assert.equal(own.status, 400);
    write('shop', 3, 4);
    const args = ['--instance', 'sql', '--name', 'what-changed', '--differential', '--wait'];
    const made = await service.cli('backup', 'create', ...args, '--json');
    assert.equal(made.exitCode, 0, made.stderr);
    const { backup } = made.json<{ backup: BackupWire }>();
    assert.equal(backup.type, 'fragment');
    const query = `instance_id=${instanceId}&backup_type=fragment`;
    assert.deepEqual(
      (await listBackups(service, query)).backups.map(({ id }) => id),
      [backup.id],
    );
    const types = server.world.history.slice(-2).map(({ type }) => type);
    const shown = await service.cli('backup', 'show', backup.id);
    assert.deepEqual(types, ['I', 'I'], shown.stdout);
    assert.match(shown.stdout, /what has changed since its last full backup/);
  });

  test('is restored beside what it has, under new names', async () => {
    const names = { shop: 'shop_copy,shop_copy2', crm: '' };
    const taken = await recover('v3', { backup_id: full.id, database_name: names });
    assert.equal(taken.status, 200, JSON.stringify(taken.body));
    const refused = await untilEnded(service, taken.body.job_id);
    assert.equal(refused.status, 'failed');
    assert.match(refused.error?.message ?? '', /crm/, 'it says which name is taken');
    assert.equal(server.world.databases.has('shop_copy'), false, 'all of them or none');
    const map = { shop: 'shop_copy,shop_copy2' };
    const asked = await recover('v3.1', { backup_id: full.id, database_name: map });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    const job = await untilEnded(service, asked.body.job_id);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.deepEqual(pagesOf('shop_copy'), pagesOfFull);
    assert.deepEqual(pagesOf('shop_copy2'), pagesOfFull);
    assert.notDeepEqual(pagesOf('shop'), pagesOfFull);
    const shown = await service.cli('job', 'show', job.id);
    assert.match(shown.stdout, /shop as shop_copy/);
    assert.match(shown.stdout, /CHECKDB/);
  });

  test('refuses what is not offered with a reason', async () => {
    const body = {
      name: 'new-server',
      restore_point: { instance_id: instanceId, type: 'backup', backup_id: full.id },
    };
    const fresh = await request<{ error_code: string }>('POST', '/v3/{p}/instances', body);
    assert.deepEqual([fresh.status, fresh.body.error_code], [400, 'DBS.201207']);
    const held = { shop: 'webmaster' };
    const named = await recover('v3', { backup_id: full.id, database_name: held });
    assert.equal(named.status, 400, JSON.stringify(named.body));
    const tables = ['--into', 'sql', '--time', new Date().toISOString()];
    const refused = await service.cli('restore', ...tables, '--table', 'shop.orders=old');
    assert.equal(refused.exitCode, 2, refused.stderr);
  });

  test('has its log archived once there is a policy, and shows intervals of it', async () => {
    const hour = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
    await service.cli('policy', 'set', 'sql', '--keep-days', '3', '--at', hour);
    await until('it is followed', async () => {
      return (await showInstance(service, 'sql')).log_archive?.status === 'following';
    });
    await untilFullBackup(service, instanceId);
    write('shop', 7, 8);
    // The history of backups has whole seconds: in that of its end a full one counts as later.
    await new Promise((done) => setTimeout(done, 1100));
    moment = new Date().toISOString();
    pagesAtMoment = pagesOf('shop');
    await new Promise((done) => setTimeout(done, 100));
    write('shop', 9, 10, 11);
    await untilLogCovered(service, 'sql');
    const query = `instance_id=${instanceId}&backup_type=incremental`;
    await until('intervals are shown', async () => {
      return (await listBackups(service, query)).total_count > 0;
    });
  });

  test('is restored to a moment, on the command line and over HTTP', async () => {
    const args = ['--into', 'sql', '--time', moment, '--database', 'shop=shop_then'];
    const restored = await service.cli('restore', ...args);
    assert.equal(restored.exitCode, 0, restored.stderr);
    assert.match(restored.stdout, /shop is shop_then in sql/);
    assert.deepEqual(pagesOf('shop_then'), pagesAtMoment);
    const source = { type: 'timestamp', restore_time: Date.parse(moment) };
    const asked = await recover('v3', { ...source, database_name: { shop: 'shop_then2' } });
    const job = await untilEnded(service, asked.body.job_id);
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    assert.deepEqual(pagesOf('shop_then2'), pagesAtMoment);
  });

  test('is restored to both ends of what is offered', async () => {
    type Windows = { readonly restore_time: readonly { start_time: number; end_time: number }[] };
    const path = `/v3/{p}/instances/${instanceId}/restore-time`;
    const [window] = (await request<Windows>('GET', path)).body.restore_time.slice(-1);
    const { start_time, end_time } = window ?? assert.fail();
    for (const restore_time of [start_time, end_time]) {
      const map = { shop: `shop_at_${restore_time}` };
      const asked = await recover('v3', { type: 'timestamp', restore_time, database_name: map });
      assert.equal(asked.status, 200, JSON.stringify(asked.body));
      const job = await untilEnded(service, asked.body.job_id);
      assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
    }
    assert.deepEqual(pagesOf(`shop_at_${end_time}`), pagesOf('shop'));
  });

  test('is restored over, when that is confirmed, and keeps what was there', async () => {
    const args = ['restore', '--backup', full.id, '--over', 'sql'];
    const unasked = await service.cli(...args);
    assert.equal(unasked.exitCode, 2);
    const now = pagesOf('shop');
    const restored = await service.cli(...args, '--yes');
    assert.equal(restored.exitCode, 0, restored.stderr);
    assert.deepEqual(pagesOf('shop'), pagesOfFull);
    const kept = [...server.world.databases.keys()].find((name) => /^shop_replaced/.test(name));
    assert.deepEqual(pagesOf(kept ?? assert.fail()), now);
  });

  test('has its backups downloaded as the server wrote them', async () => {
    const target = await mkdtemp(join(tmpdir(), 'cairn-sqlserver-files-'));
    scene.defer(() => rm(target, { recursive: true, force: true }));
    const written = await service.cli('restore', '--backup', full.id, '--to', join(target, 'bak'));
    assert.equal(written.exitCode, 0, written.stderr);
    assert.match(written.stdout, /RESTORE DATABASE/);
    const files = await readdir(join(target, 'bak'));
    assert.equal(files.filter((name) => name.endsWith('.bak')).length, 2, files.join());
    const links = await request<{ files: { name: string; download_link: string }[] }>(
      ...(['GET', `/v3/{p}/backup-files?backup_id=${full.id}`] as const),
    );
    const link = links.body.files[0] ?? assert.fail();
    const bytes = Buffer.from(await (await fetch(link.download_link)).arrayBuffer());
    assert.deepEqual(bytes, await readFile(join(target, 'bak', link.name)));
  });
});

/** The full backup that the archive asks for after a gap may be running. */
async function askUntilAccepted(
  name: string,
  prepare: () => unknown,
  undo: () => unknown,
): Promise<CreateBackupResponse> {
  return await until('a backup is accepted', async () => {
    prepare();
    const body = { instance_id: instanceId, name };
    const asked = await request<CreateBackupResponse>('POST', '/v3/{p}/backups', body);
    if (asked.status < 300) return asked.body;
    undo();
    assert.match(JSON.stringify(asked.body), /running/);
    await new Promise((done) => setTimeout(done, 500));
    return null;
  });
}

suite('a backup of SQL Server that comes to nothing', () => {
  test('is cancelled on the server too, and leaves nothing behind', async () => {
    const reached = Promise.withResolvers<void>();
    let gate = Promise.withResolvers<void>();
    const hold = (): void => {
      gate = Promise.withResolvers<void>();
      server.world.onProgress = async ({ statement }) => {
        if (statement !== 'BACKUP DATABASE') return;
        reached.resolve();
        await gate.promise;
      };
    };
    const letGo = (): void => {
      server.world.onProgress = () => undefined;
      gate.resolve();
    };
    const asked = await askUntilAccepted('to-be-cancelled', hold, letGo);
    await reached.promise;
    const cancelling = service.cli('job', 'cancel', asked.job_id, '--wait');
    // The server finishes its statement only when its client has had time to call it off.
    await Promise.race([cancelling, new Promise((done) => setTimeout(done, 4000))]);
    letGo();
    const cancelled = await cancelling;
    assert.equal(cancelled.exitCode, 0, cancelled.stderr);
    assert.equal((await showBackup(service, asked.backup.id)).status, 'FAILED');
    const left = (await readdir(folder)).filter((name) => name.startsWith('cairn-base-'));
    assert.deepEqual(left, []);
  });

  test('says what the server said, and leaves nothing behind', async () => {
    const { denied } = server.world;
    const asked = await askUntilAccepted(
      'not-allowed',
      () => denied.add('BACKUP DATABASE'),
      () => denied.delete('BACKUP DATABASE'),
    );
    const job = await untilEnded(service, asked.job_id);
    denied.delete('BACKUP DATABASE');
    assert.equal(job.status, 'failed');
    assert.equal(job.error?.kind, 'engine-refused');
    assert.match(job.error?.message ?? '', /BACKUP DATABASE|back up/i);
    assert.doesNotMatch(JSON.stringify(job.error), /terminating abnormally/);
    const { status, failure_reason } = await showBackup(service, asked.backup.id);
    assert.equal(status, 'FAILED');
    assert.ok(failure_reason?.startsWith(job.error?.message ?? 'nothing'), `${failure_reason}`);
    const left = (await readdir(folder)).filter((name) => name.startsWith('cairn-base-'));
    assert.deepEqual(left, []);
  });
});
