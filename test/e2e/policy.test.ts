// A policy really runs: on a served instance, with the clock of this machine.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { BackupWire } from '../../src/api/schema/backup.ts';
import type { PolicyResponse } from '../../src/api/schema/policy.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { formatWindow } from '../../src/model/backup-policy.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, listBackups, register } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const tickMaxMs = 45_000;

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let automated: BackupWire;

before(async () => {
  server = scene.use(await startPostgres({ version: '18' }));
  service = scene.use(await startService({ versions: ['18'] }));
  instanceId = await register(service, server.url);
});
after(() => scene.disposeAsync());

/** One that is open now and for at least three quarters of an hour. */
function openWindow(): string {
  const now = new Date();
  const minutes = now.getUTCHours() * 60 + now.getUTCMinutes();
  return formatWindow(Math.floor(minutes / 15) * 15);
}

/** Without the stretches of its log, which come by the clock. */
async function listFull(): Promise<readonly BackupWire[]> {
  const { backups } = await listBackups(service, `instance_id=${instanceId}`);
  return backups.filter(({ type }) => type !== 'incremental');
}

suite('a backup policy', () => {
  test('that is off makes none; switched on by the command line it makes one', async () => {
    const shown = await service.cli('policy', 'show', 'shop-server');
    assert.equal(shown.stdout, 'off: no automated backups\n');
    const set = await service.cli(
      ...['policy', 'set', 'shop-server', '--keep-days', '3', '--at', openWindow()],
    );
    assert.equal(set.exitCode, 0, set.stderr);
    assert.match(set.stdout, /kept: +3 days/);
    automated = await until(
      'the scheduler has made a backup',
      async () => {
        const backups = await listFull();
        assert.ok(backups.length <= 1, 'more than one');
        const [backup] = backups;
        assert.notEqual(backup?.status, 'FAILED');
        return backup?.status === 'COMPLETED' ? backup : null;
      },
      tickMaxMs,
    );
    assert.equal(automated.type, 'auto');
    assert.match(automated.name, /^auto-shop-server-\d{8}T\d{4}$/);
  });

  test('does not make another after a restart in the same window', async () => {
    await service.restart();
    const manual = await backUp(service, instanceId, 'by-hand');
    assert.deepEqual(
      (await listFull()).map(({ id }) => id),
      [manual.id, automated.id],
    );
    const refused = await service.cli('backup', 'delete', automated.id, '--json');
    assert.notEqual(refused.exitCode, 0);
  });

  test('keeps what a change does not name', async () => {
    // Not now: it shall bring no backup.
    const window = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
    const set = await service.cli(
      ...['policy', 'set', 'shop-server', '--at', window, '--days', '1,2,3,4,5'],
    );
    assert.equal(set.exitCode, 0, set.stderr);
    assert.match(set.stdout, /kept: +3 days/);
    const kept = await service.cli('policy', 'set', 'shop-server', '--keep-days', '14', '--json');
    const { backup_policy: policy } = kept.json<PolicyResponse>();
    assert.deepEqual(policy, { keep_days: 14, start_time: window, period: '1,2,3,4,5' });
  });

  test('does not take backups with it unasked', async () => {
    for (const going of [
      ['policy', 'off', 'shop-server', '--delete-backups'],
      ['instance', 'remove', 'shop-server'],
    ]) {
      const refused = await service.cli(...going);
      assert.equal(refused.exitCode, exitCodes.usage, refused.stderr);
      assert.match(refused.stderr, /1 automated backup would be deleted/);
    }
    const shown = await service.cli('policy', 'show', 'shop-server');
    assert.match(shown.stdout, /kept: +14 days/);
    assert.equal((await listFull()).length, 2);
  });

  test('switched off is not half a policy', async () => {
    assert.equal((await service.cli('policy', 'off', 'shop-server')).exitCode, 0);
    const refused = await service.cli('policy', 'set', 'shop-server', '--at', '01:00-02:00');
    assert.equal(refused.exitCode, exitCodes.usage);
    assert.match(refused.stderr, /--keep-days N/);
  });

  test('goes with its instance, the automated backup too; the manual one stays', async () => {
    const removed = await service.cli('instance', 'remove', 'shop-server', '--yes');
    assert.equal(removed.exitCode, 0, removed.stderr);
    const left = await until('the automated backup is gone', async () => {
      const { backups } = await listBackups(service, `instance_id=${instanceId}`);
      return backups.length === 1 ? backups : null;
    });
    assert.deepEqual(
      left.map(({ name, status }) => [name, status]),
      [['by-hand', 'COMPLETED']],
    );
    const windows = await service.cli('instance', 'windows', instanceId);
    assert.equal(windows.exitCode, 0, windows.stderr);
    assert.match(windows.stdout, /^FROM +TO\n\d{4}-/);
    const stranger = await service.cli('instance', 'windows', `${'0'.repeat(32)}in03`);
    assert.equal(stranger.exitCode, exitCodes.notFound);
  });
});
