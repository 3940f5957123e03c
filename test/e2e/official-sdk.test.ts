// The official SDK against a served instance: what it signs and how it reads answers is its own
// code, not ours.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { BackupListWire, CreateBackupResponse } from '../../src/api/schema/backup.ts';
import type { JobWire } from '../../src/api/schema/job.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { SdkClient } from '../fixtures/sdk-client.ts';
import { createSdkClient } from '../fixtures/sdk-client.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { register } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let sdk: SdkClient;

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  service = scene.use(await startService({ versions: ['16'] }));
  instanceId = await register(service, server.url);
  sdk = createSdkClient({ ...service.keys, projectId: service.projectId });
});
after(() => scene.disposeAsync());

async function ended(client: SdkClient, id: string): Promise<JobWire> {
  return await until(`job ${id} has ended`, async () => {
    const { job } = await client<{ job: JobWire }>('GET', '/v3/{project_id}/jobs', {
      query: { id },
    });
    return job.status === 'Running' ? null : job;
  });
}

suite('the official SDK', () => {
  test('finds the project by the name of the region', async () => {
    const lost = createSdkClient({ ...service.keys, projectId: null });
    const { instances } = await lost<{ instances: { id: string; status: string }[] }>(
      'GET',
      '/v3/{project_id}/instances',
      { query: { id: instanceId } },
    );
    assert.deepEqual(
      instances.map(({ id, status }) => [id, status]),
      [[instanceId, 'ACTIVE']],
    );
  });

  test('creates, watches, lists and deletes a backup', async () => {
    const created = await sdk<CreateBackupResponse>('POST', '/v3/{project_id}/backups', {
      body: { instance_id: instanceId, name: 'sdk-backup', description: '备份 from the SDK' },
      headers: { 'X-Language': 'en-us' },
    });
    assert.equal(created.httpStatusCode, 200);
    assert.equal(created.backup.status, 'BUILDING');
    assert.equal(created.backup.description, '备份 from the SDK');
    assert.equal((await ended(sdk, created.job_id)).status, 'Completed');

    const query = { instance_id: instanceId, backup_id: created.backup.id, limit: 1 };
    const list = await sdk<BackupListWire>('GET', '/v3/{project_id}/backups', { query });
    assert.equal(list.total_count, 1);
    assert.equal(list.backups[0]?.status, 'COMPLETED');

    const path = `/v3/{project_id}/backups/${created.backup.id}`;
    const deleted = await sdk('DELETE', path, { body: {} });
    assert.equal(deleted.httpStatusCode, 200);
    await until('the backup is gone', async () => {
      const left = await sdk<BackupListWire>('GET', '/v3/{project_id}/backups', { query });
      return left.total_count === 0;
    });
  });

  test('signs times with plus signs and names with odd characters', async () => {
    const range = { begin_time: '2026-01-01T00:00:00+0800', end_time: '2026-01-02T00:00:00+0800' };
    const query = { instance_id: instanceId, ...range };
    const list = await sdk<BackupListWire>('GET', '/v3/{project_id}/backups', { query });
    assert.deepEqual(list.backups, []);
    const odd = { name: "it's (all) right*~ ! é 备" };
    const found = await sdk<{ total_count: number }>('GET', '/v3/{project_id}/instances', {
      query: odd,
    });
    assert.equal(found.total_count, 0);
  });

  test('reads and writes the backup policy', async () => {
    const path = `/v3/{project_id}/instances/${instanceId}/backups/policy`;
    const policy = { keep_days: 9, start_time: '08:15-09:15', period: '1,3,5' };
    const written = await sdk('PUT', path, { body: { backup_policy: policy } });
    assert.equal(written.httpStatusCode, 200);
    const read = await sdk<{ backup_policy: unknown }>('GET', path);
    assert.deepEqual(read.backup_policy, policy);
  });

  test('is told what was wrong, with code, text and request id', async () => {
    const body = { instance_id: instanceId, name: '1-bad' };
    const refused = sdk('POST', '/v3/{project_id}/backups', { body });
    await assert.rejects(refused, (error: Error & Record<string, unknown>) => {
      assert.equal(error['httpStatusCode'], 400);
      assert.equal(error['errorCode'], 'DBS.280277');
      assert.match(String(error['requestId']), /^[0-9a-f]{32}$/);
      return true;
    });
  });

  test('is refused with another secret', async () => {
    const { secretKey } = service.keys;
    const wrong = createSdkClient({
      ...service.keys,
      projectId: service.projectId,
      secretKey: `${secretKey.slice(0, -1)}${secretKey.endsWith('0') ? '1' : '0'}`,
    });
    await assert.rejects(
      wrong('GET', '/v3/{project_id}/instances'),
      (error: Error & Record<string, unknown>) => error['errorCode'] === 'APIGW.0301',
    );
  });
});
