// A policy really runs: on a served instance, with the clock of this machine.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { BackupWire } from '../../src/api/schema/backup.ts';
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
        const { backups } = await listBackups(service, `instance_id=${instanceId}`);
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
    const { backups } = await listBackups(service, `instance_id=${instanceId}`);
    assert.deepEqual(
      backups.map(({ id }) => id),
      [manual.id, automated.id],
    );
    const refused = await service.cli('backup', 'delete', automated.id, '--json');
    assert.notEqual(refused.exitCode, 0);
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
  });
});
