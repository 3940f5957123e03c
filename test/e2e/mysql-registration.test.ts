// Registering a MariaDB server: what its account may do decides what is offered, every finding says
// how to mend it, and doing as told mends it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { FindingWire } from '../../src/api/schema/error.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { findFreePort } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';

const wrongPassword = 'not-the-password-5521';
const backupPassword = 'password-of-backup-9034';
const scene = new AsyncDisposableStack();
let server: MariadbServer;
let service: TestService;
/** Everything that any command printed. */
let printed = '';

before(async () => {
  server = scene.use(await startMariadb({ settings: { 'expire-logs-days': '1' } }));
  await server.query(`create user backup@localhost identified by '${backupPassword}'`);
  service = scene.use(
    await startService({ versions: [], environment: { CAIRN_LOG_LEVEL: 'trace' } }),
  );
});
after(() => scene.disposeAsync());

function urlWith(changes: Partial<Pick<URL, 'username' | 'password' | 'port'>>): string {
  return Object.assign(new URL(server.url), changes).href;
}

async function run(...args: string[]): Promise<CliResult> {
  const result = await service.cli('instance', ...args);
  printed += result.stdout + result.stderr;
  return result;
}

type Outcome = {
  readonly error?: { readonly kind: string; readonly message: string };
  readonly instance?: { readonly id: string };
  readonly findings: readonly FindingWire[];
};

async function add(url: string): Promise<Outcome & { readonly exitCode: number }> {
  const result = await run('add', '--name', 'maria', '--url', url, '--json');
  const outcome = result.json<Outcome>();
  return { ...outcome, findings: outcome.findings ?? [], exitCode: result.exitCode };
}

function get(findings: readonly FindingWire[], check: string): FindingWire {
  const finding = findings.find((one) => one.check === check);
  assert.ok(finding, `${check} is not among ${findings.map((one) => one.check).join(', ')}`);
  return finding;
}

/** As an administrator does who reads it. */
async function doAsTold({ hint }: FindingWire): Promise<void> {
  assert.match(hint ?? '', /^GRANT .+ ON \*\.\* TO `backup`@`localhost`$/);
  await server.query(hint ?? '');
}

suite('registering a MariaDB server', () => {
  const backupUrl = () => urlWith({ username: 'backup', password: backupPassword });

  test('a wrong password and a port where nothing listens are refused', async () => {
    const login = await add(urlWith({ password: wrongPassword }));
    assert.equal(login.exitCode, exitCodes.engine);
    assert.match(
      get(login.findings, 'login').message,
      /user root or its password was not accepted/,
    );
    const away = await add(urlWith({ port: String(await findFreePort()) }));
    assert.match(get(away.findings, 'connection').message, /nothing listens at 127\.0\.0\.1/);
    for (const args of [['mysql://u:pw@a,b/'], ['mariadb://u:pw@a/', '--standby', 'b']]) {
      const several = await run('add', '--name', 'm', '--json', '--url', ...args);
      assert.equal(several.exitCode, exitCodes.usage, several.stdout);
      assert.match(several.stdout, /primary/);
    }
  });

  test('an account without rights is refused, with the statement that gives them', async () => {
    const refused = await add(backupUrl());
    assert.equal(refused.exitCode, exitCodes.engine);
    const rights = get(refused.findings, 'rights-logical');
    assert.equal(rights.severity, 'blocking');
    assert.match(rights.message, /lacks SELECT, SHOW VIEW, TRIGGER, EVENT for logical backups/);
    await doAsTold(rights);
  });

  test('with them it is registered; physical backups and the log want more', async () => {
    await server.query('grant reload, process on *.* to backup@localhost');
    const added = await add(backupUrl());
    assert.equal(added.exitCode, 0, JSON.stringify(added));
    assert.match(added.instance?.id ?? '', /^[0-9a-f]{32}in01$/);
    // Without this look the backup program would say so when it has copied everything.
    const way = get(added.findings, 'backup-way');
    assert.equal(way.severity, 'warning');
    assert.match(way.message, /logical, .*the account lacks BINLOG MONITOR/);
    await doAsTold(way);
    const log = get(added.findings, 'rights-log');
    assert.match(log.message, /lacks REPLICATION SLAVE, BINLOG MONITOR for the log archive/);
    await doAsTold(log);
  });

  test('a check says what is well now, and which settings are not', async () => {
    const checked = await run('check', 'maria', '--json');
    assert.equal(checked.exitCode, 0);
    const {
      ready,
      findings,
      server: found,
    } = checked.json<{
      readonly ready: boolean;
      readonly server: { readonly system_identifier: string; readonly major_version: string };
      readonly findings: readonly FindingWire[];
    }>();
    assert.ok(ready);
    assert.deepEqual([found.system_identifier, found.major_version], ['0-11', '10.11']);
    const bad = findings.filter(({ severity }) => severity !== 'fine').map(({ check }) => check);
    assert.deepEqual(bad.sort(), ['binlog-expiry', 'sync_binlog']);
    assert.match(get(findings, 'backup-way').message, /physical, by \/\S+mariadb-backup$/);
    await server.query('set global sync_binlog = 1');
    const again = await run('check', 'maria');
    assert.match(again.stderr, /ok {7}sync_binlog: sync_binlog is 1\n/);
    assert.match(again.stdout, /ready for backups, \d/);
  });

  test('the API shows which engine and series it is', async () => {
    const answer = await service.request<{
      readonly instances: readonly { readonly datastore: object; readonly port: number }[];
    }>('GET', '/v3/{p}/instances');
    const [shown] = answer.body.instances;
    assert.equal(shown?.port, server.port);
    assert.deepEqual((shown?.datastore as { type: string; version: string }).type, 'MySQL');
    assert.match((shown?.datastore as { version: string }).version, /^10\.11/);
  });

  test('another server at the same address is not taken for it', async () => {
    await server.query('set global server_id = 12');
    const checked = await run('check', 'maria');
    assert.equal(checked.exitCode, exitCodes.engine);
    assert.match(checked.stdout + checked.stderr, /identifier is 0-12, not 0-11/);
    await server.query('set global server_id = 11');
  });

  test('no password is printed or logged', () => {
    assert.ok(printed.includes('backup') && service.log.includes('"level":20'));
    for (const secret of [server.password, wrongPassword, backupPassword]) {
      assert.ok(!printed.includes(secret) && !service.log.includes(secret), secret);
    }
  });
});
