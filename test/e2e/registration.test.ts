// Registering a server, on the command line: what a backup needs is checked before anything is
// stored, every refusal says what is missing, and a password is seen nowhere afterwards.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { FindingWire } from '../../src/api/schema/error.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp } from '../fixtures/service-calls.ts';

const wrongPassword = 'not-the-password-7781';
const readerPassword = 'password-of-the-reader-3319';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let minimal: TestServer;
let service: TestService;
/** Everything that any command printed. */
let printed = '';

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  await server.query(`create role reader login password '${readerPassword}'`);
  minimal = scene.use(
    await startPostgres({
      version: '16',
      settings: { wal_level: 'minimal', max_wal_senders: '0' },
    }),
  );
  service = scene.use(await startService({ environment: { CAIRN_LOG_LEVEL: 'trace' } }));
});
after(() => scene.disposeAsync());

function urlWith(changes: Partial<Pick<URL, 'username' | 'password' | 'port'>>): string {
  return Object.assign(new URL(server.url), changes).href;
}

async function add(url: string, ...rest: string[]): Promise<CliResult> {
  const result = await service.cli('instance', 'add', '--name', 'shop', '--url', url, ...rest);
  printed += result.stdout + result.stderr;
  return result;
}

type Refusal = {
  readonly error: { readonly kind: string; readonly message: string; readonly hint: string | null };
  readonly findings?: readonly FindingWire[];
};

/** Refused with the exit code of an engine, in words and as JSON. */
async function assertRefused(url: string, missing: Readonly<Record<string, RegExp>>) {
  const words = await add(url);
  assert.equal(words.exitCode, exitCodes.engine, words.stderr);
  assert.equal(words.stdout, '');
  const json = await add(url, '--json');
  assert.equal(json.exitCode, exitCodes.engine);
  const { error, findings = [] } = json.json<Refusal>();
  assert.ok(error.kind.startsWith('engine-'), error.kind);
  const blocking = findings.filter(({ severity }) => severity === 'blocking');
  assert.deepEqual(blocking.map(({ check }) => check).sort(), Object.keys(missing).sort());
  for (const { check, message, hint } of blocking) {
    assert.match(message, missing[check] ?? /^$/);
    assert.ok(hint, `${check} has no hint`);
    for (const text of [message, hint]) assert.ok(words.stderr.includes(text), text);
    assert.ok(error.message.includes(message), error.message);
  }
  const listed = await service.cli('instance', 'list', '--json');
  assert.deepEqual(listed.json(), { instances: [], total_count: 0 });
}

suite('registering a server', () => {
  test('a wrong password is refused', () =>
    assertRefused(urlWith({ password: wrongPassword }), {
      login: /password of user postgres was not accepted/,
    }));

  test('a port where nothing listens is refused', async () => {
    const port = await findFreePort();
    await assertRefused(urlWith({ port: String(port) }), {
      connection: new RegExp(`nothing listens at 127\\.0\\.0\\.1:${port}`),
    });
  });

  test('a role that may not replicate is refused', () =>
    assertRefused(urlWith({ username: 'reader', password: readerPassword }), {
      'replication-right': /user reader may not replicate/,
      'replication-login': /permission denied/,
    }));

  test('a server without enough WAL is refused, with everything that is missing', () =>
    assertRefused(minimal.url, {
      wal_level: /wal_level is minimal/,
      max_wal_senders: /0 of 0 WAL senders/,
      'replication-login': /max_wal_senders/,
    }));

  test('what is no address or no name is a wrong use', async () => {
    for (const args of [
      ['--name', 'shop', '--url', `http://postgres:${wrongPassword}@127.0.0.1/`],
      ['--name', 'shop', '--url', `postgres://postgres:${wrongPassword}@:x/`],
      ['--name', '1', '--url', server.url],
      ['--name', 'shop'],
    ]) {
      const result = await service.cli('instance', 'add', ...args, '--json');
      printed += result.stdout + result.stderr;
      assert.equal(result.exitCode, exitCodes.usage, args.join(' '));
      assert.equal(result.json<Refusal>().error.kind, 'invalid');
    }
  });

  test('a good server is registered: its id alone is on standard output', async () => {
    const added = await runCairn(
      ['instance', 'add', '--name', 'shop', '--url', '-', '--data', service.dataDir],
      { environment: service.environment, input: `${server.url}\n` },
    );
    printed += added.stdout + added.stderr;
    assert.equal(added.exitCode, 0, added.stderr);
    assert.match(added.stdout, /^[0-9a-f]{32}in03\n$/);
    assert.match(added.stderr, /ok {7}wal_level: wal_level is replica\n/);
    const shown = await service.cli('instance', 'show', added.stdout.trim(), '--json');
    printed += shown.stdout;
    const { instance } = shown.json<{ instance: { name: string; user: string } }>();
    assert.deepEqual([instance.name, instance.user], ['shop', 'postgres']);
    const again = await add(server.url, '--json');
    assert.equal(again.exitCode, exitCodes.conflict);
    assert.match(again.json<Refusal>().error.message, /exists already/);
  });

  test('no password is printed, logged or kept in the clear', async () => {
    const [instance] = (await service.cli('instance', 'list', '--json')).json<{
      instances: { id: string }[];
    }>().instances;
    await backUp(service, instance?.id ?? '', 'with-password');
    const texts: [string, string][] = [
      ['output', printed],
      ['log', service.log],
    ];
    for (const name of globSync('**', { cwd: service.dataDir, withFileTypes: true })) {
      if (!name.isFile()) continue;
      const path = join(name.parentPath, name.name);
      texts.push([path, await readFile(path, 'latin1')]);
    }
    assert.ok(texts.length > 8 && service.log.includes('"level":20'), 'too little was looked at');
    for (const secret of [server.password, wrongPassword, readerPassword]) {
      const leaks = texts.filter(([, text]) => text.includes(secret)).map(([where]) => where);
      assert.deepEqual(leaks, []);
    }
  });
});
