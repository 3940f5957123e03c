// What scripts rely on: one exit code for each kind of trouble, and one JSON document on standard
// output whenever `--json` was said, whether the command did what was asked or not.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { register } from '../fixtures/service-calls.ts';

const strangerId = `${'0'.repeat(32)}br03`;
const otherKey = 'ab'.repeat(32);

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  service = scene.use(await startService());
  await register(service, server.url);
});
after(() => scene.disposeAsync());

type Failure = { readonly error: { readonly kind: string; readonly message: string } };
type Doctor = {
  readonly healthy: boolean;
  readonly checks: readonly { check: string; verdict: string; text: string }[];
};

function assertFailed(result: CliResult, exitCode: number, kind: string, message: RegExp): void {
  assert.equal(result.exitCode, exitCode, result.stdout + result.stderr);
  const { error } = result.json<Failure>();
  assert.equal(error.kind, kind);
  assert.match(error.message, message);
  assert.doesNotMatch(result.stdout + result.stderr, /\n {4}at |unexpected error/);
}

/** Without the data folder of the service. */
async function runElsewhere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  return await runCairn(args, { environment: { ...service.environment, ...environment } });
}

suite('the command line', () => {
  test('every answer with --json is JSON', async () => {
    const created = await service.cli(
      ...['backup', 'create', '--instance', 'shop-server', '--wait', '--json'],
    );
    assert.equal(created.exitCode, 0, created.stderr);
    const { backup } = created.json<{ backup: { id: string; job_id: string; status: string } }>();
    assert.equal(backup.status, 'COMPLETED');
    for (const args of [
      ['backup', 'list'],
      ['backup', 'list', '--instance', 'shop-server'],
      ['backup', 'show', backup.id],
      ['instance', 'list'],
      ['instance', 'show', 'shop-server'],
      ['instance', 'check', 'shop-server'],
      ['job', 'list'],
      ['job', 'show', backup.job_id],
      ['doctor'],
      ['key', 'export'],
    ]) {
      const [result, words] = await Promise.all([
        service.cli(...args, '--json'),
        service.cli(...args),
      ]);
      assert.equal(result.exitCode, 0, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
      assert.equal(typeof result.json(), 'object');
      assert.equal(words.exitCode, 0);
      assert.throws(() => words.json(), `${args.join(' ')} prints JSON unasked`);
    }
  });

  test('what does not exist is told by exit code 3', async () => {
    for (const [args, message] of [
      [['backup', 'show', strangerId], /does not exist/],
      [['backup', 'delete', 'no-such-backup'], /does not exist/],
      [['backup', 'create', '--instance', 'no-such-server'], /no instance no-such-server/],
      [['instance', 'show', 'no-such-server'], /no instance no-such-server/],
      [['instance', 'remove', 'no such server'], /no instance no such server/],
      [['job', 'show', '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9'], /does not exist/],
      [['restore', '--backup', strangerId, '--new-instance', 'copy'], /no backup/],
      [['restore', '--backup', strangerId, '--to', join(service.folder, 'never')], /no backup/],
    ] as const) {
      assertFailed(await service.cli(...args, '--json'), exitCodes.notFound, 'not-found', message);
    }
    assert.ok(!existsSync(join(service.folder, 'never')));
  });

  test('wrong use is told by exit code 2, as JSON too', async () => {
    for (const [args, message] of [
      [['backup', 'create'], /required option '--instance/],
      [['backup', 'create', '--instance', 'shop-server', '--name', '1x'], /name is not valid/],
      [['backup', 'list', '--limit', 'all'], /limit/],
      [['backup', 'list', '--no-such-option'], /unknown option/],
      [['no-such-command'], /unknown command/],
      [['restore', '--backup', strangerId], /--to DIR, --new-instance/],
    ] as const) {
      const result = await service.cli(...args, '--json');
      assertFailed(result, exitCodes.usage, 'invalid', message);
    }
    const settings = await runElsewhere(['doctor', '--json'], { CAIRN_JOB_LEASE_MS: '5' });
    assertFailed(settings, exitCodes.usage, 'invalid', /CAIRN_JOB_LEASE_MS is 5/);
  });

  test('a name in use is told by exit code 4', async () => {
    const create = ['backup', 'create', '--instance', 'shop-server', '--name', 'twice-named'];
    assert.equal((await service.cli(...create, '--wait')).exitCode, 0);
    const again = await service.cli(...create, '--json');
    assertFailed(again, exitCodes.conflict, 'conflict', /named twice-named exists already/);
  });

  test('a folder that is not empty is left alone', async () => {
    const listed = await service.cli('backup', 'list', '--json');
    const [backup] = listed.json<{ backups: { id: string }[] }>().backups;
    const target = join(service.folder, 'full');
    await mkdir(join(target, 'inside'), { recursive: true });
    const result = await service.cli(
      ...['restore', '--backup', backup?.id ?? '', '--to', target, '--json'],
    );
    assertFailed(result, exitCodes.usage, 'invalid', /is not empty/);
  });

  test('serve says why it does not begin', async () => {
    const folder = join(service.folder, 'second');
    const taken = new URL(service.endpoint).host;
    for (const [args, environment, exitCode, text] of [
      [['--listen', taken], {}, exitCodes.conflict, /cannot listen on .*: another program/],
      [['--listen', '203.0.113.1:1'], {}, exitCodes.usage, /cannot listen on 203\.0\.113\.1:1/],
      [['--listen', 'nowhere'], {}, exitCodes.usage, /cannot listen on nowhere/],
      [['--workers', '-1'], {}, exitCodes.usage, /whole number/],
      [[], { CAIRN_STORAGE: 'ftp://bucket' }, exitCodes.usage, /ftp:\/\/ is not supported/],
      [[], { CAIRN_STORAGE: 's3://b?endpoint=x' }, exitCodes.usage, /no bucket name/],
      [[], { CAIRN_STORAGE: 's3://bucket' }, exitCodes.storage, /another region/],
      [[], { CAIRN_STORAGE: 'file://host/x' }, exitCodes.usage, /does not name a folder/],
      [[], { CAIRN_STORAGE: 'file:///a#b' }, exitCodes.usage, /does not name a folder/],
      [[], { CAIRN_STORAGE: `file://${process.execPath}` }, exitCodes.storage, /cannot open/],
      [[], { CAIRN_MASTER_KEY: 'short' }, exitCodes.usage, /64 hexadecimal digits/],
    ] as const) {
      const result = await runElsewhere(['serve', '--data', folder, ...args], environment);
      assert.equal(result.exitCode, exitCode, `${args.join(' ')} ${JSON.stringify(environment)}`);
      assert.match(result.stderr, text);
      assert.doesNotMatch(result.stderr, /\n {4}at |unexpected error/);
    }
  });

  test('doctor sees a wrong key, an open key file and a folder that is none', async () => {
    const verdictOf = (result: CliResult, check: string): string => {
      const found = result.json<Doctor>().checks.find((item) => item.check === check);
      return `${found?.verdict}: ${found?.text}`;
    };
    const doctor = ['doctor', '--data', service.dataDir, '--json'];
    const wrongKey = await runElsewhere(doctor, { CAIRN_MASTER_KEY: otherKey });
    assert.equal(wrongKey.exitCode, exitCodes.failed);
    assert.match(verdictOf(wrongKey, 'storage'), /^failed: .* sealed with another master key/);
    const keyPath = join(service.dataDir, 'master.key');
    await chmod(keyPath, 0o644);
    const open = await runElsewhere(doctor);
    await chmod(keyPath, 0o600);
    assert.equal(open.exitCode, exitCodes.failed);
    assert.match(verdictOf(open, 'master key'), /^failed: .* can be read by others/);
    const nowhere = join(service.folder, 'nowhere');
    const nothing = await runElsewhere(['doctor', '--data', nowhere, '--json']);
    assert.equal(nothing.exitCode, exitCodes.failed);
    assert.match(verdictOf(nothing, 'data folder'), /^failed: cannot look at .*nowhere: ENOENT/);
    assert.ok(!existsSync(nowhere), 'doctor has made the folder that it was to look for');
  });

  test('a service that is away is told from one that refuses', async () => {
    const withKey = ['serve', '--data', service.dataDir, '--listen', '127.0.0.1:0'];
    await service.kill('SIGTERM');
    const away = await service.cli('backup', 'list', '--json');
    assertFailed(away, exitCodes.engine, 'engine-unreachable', /no service answers at http/);
    const sealed = await runElsewhere(withKey, { CAIRN_MASTER_KEY: otherKey });
    assert.equal(sealed.exitCode, exitCodes.usage);
    assert.match(sealed.stderr, /sealed with another master key\n {2}it needs key [0-9a-f]{16}/);
    const noFolder = await runElsewhere(['backup', 'list', '--data', '/nowhere', '--json']);
    assertFailed(noFolder, exitCodes.notFound, 'not-found', /cannot read \/nowhere/);
    await service.start();
    assert.equal((await service.cli('backup', 'list', '--json')).exitCode, 0);
  });
});
