// What the clients of the RDS family do, call by call and as strictly as they do it, against a
// served instance. Written from their behaviour; the providers themselves do not run here.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BackupListWire, CreateBackupResponse } from '../../src/api/schema/backup.ts';
import type { InstanceWire } from '../../src/api/schema/instance.ts';
import type { JobWire } from '../../src/api/schema/job.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register } from '../fixtures/service-calls.ts';
import type { StrictClient } from '../fixtures/strict-client.ts';
import { createStrictClient, Refused } from '../fixtures/strict-client.ts';

const scene = new AsyncDisposableStack();
const pollMs = 200;
const pollsMax = 300;
let server: TestServer;
let service: TestService;
let instanceId: string;

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  service = scene.use(await startService({ versions: ['16'] }));
  instanceId = await register(service, server.url);
});
after(() => scene.disposeAsync());

type InstanceList = { readonly instances: readonly InstanceWire[]; readonly total_count: number };

async function poll<T>(look: () => Promise<T | null>): Promise<T> {
  for (let n = 0; n < pollsMax; n++) {
    const found = await look();
    if (found !== null) return found;
    await delay(pollMs);
  }
  throw new Error('the client gave up waiting');
}

const ok = { accepts: [200] } as const;

/** One of the providers: any word but these is an error. */
async function untilJobEnds(client: StrictClient, jobId: string): Promise<JobWire> {
  return await poll(async () => {
    const query = [['id', jobId]] as const;
    const { job } = await client<{ job: JobWire }>('GET', '/v3/{p}/jobs', { ...ok, query });
    if (job.status === 'Running') return null;
    assert.equal(job.status, 'Completed', job.fail_reason);
    return job;
  });
}

suite('the huaweicloud provider', () => {
  let hw: StrictClient;
  before(() => {
    hw = createStrictClient(service, 'access');
  });

  const listOne = async (backupId: string): Promise<BackupListWire> =>
    await hw<BackupListWire>('GET', '/v3/{p}/backups', {
      ...ok,
      query: [
        ['backup_id', backupId],
        ['instance_id', instanceId],
      ],
    });

  test('rds_backup: create, wait, read, delete, gone', async () => {
    const body = { instance_id: instanceId, name: 'hw_backup', description: 'by terraform' };
    const { backup } = await hw<CreateBackupResponse>('POST', '/v3/{p}/backups', { ...ok, body });
    assert.equal(backup.instance_id, instanceId);
    const read = await poll(async () => {
      const [found] = (await listOne(backup.id)).backups;
      assert.notEqual(found?.status, 'FAILED');
      return found?.status === 'COMPLETED' ? found : null;
    });
    assert.equal(read.name, 'hw_backup');
    assert.equal(read.description, 'by terraform');
    assert.ok(read.size > 0);
    assert.deepEqual(read.databases, []);
    assert.equal(read.associated_with_ddm, false);
    await hw('DELETE', `/v3/{p}/backups/${backup.id}`, ok);
    await poll(async () => {
      const { total_count: count } = await listOne(backup.id);
      assert.ok(count === 0 || count === 1, 'any other number is an error');
      return count === 0 ? true : null;
    });
  });

  test('a second backup meanwhile is refused in a form that it can read', async () => {
    const create = (name: string) =>
      hw<CreateBackupResponse>('POST', '/v3/{p}/backups', {
        ...ok,
        body: { instance_id: instanceId, name },
      });
    const { backup } = await create('hw_first');
    await assert.rejects(create('hw_second'), (error: unknown) => {
      assert.ok(error instanceof Refused);
      return error.status === 409 && error.code === 'DBS.201205';
    });
    await poll(async () =>
      (await listOne(backup.id)).backups[0]?.status === 'COMPLETED' ? true : null,
    );
  });

  test('reads that are not offered here are 404 APIGW.0101', async () => {
    for (const path of [
      'binlog/clear-policy',
      'msdtc/hosts',
      'tde-status',
      'disk-auto-expansion',
    ]) {
      await assert.rejects(
        hw('GET', `/v3/{p}/instances/${instanceId}/${path}`, ok),
        (error: unknown) =>
          error instanceof Refused && error.status === 404 && error.code === 'APIGW.0101',
        path,
      );
    }
  });

  test('rds_instance from a backup: create, wait, policy, read, delete, gone', async () => {
    const source = await backUp(service, instanceId, 'hw-source');
    const made = await hw<{ instance: { id: string }; job_id: string }>(
      'POST',
      '/v3/{p}/instances',
      {
        accepts: [200, 201, 202],
        body: {
          name: 'hw_copy',
          datastore: { type: 'PostgreSQL', version: '16' },
          flavor_ref: 'rds.pg.n1.large.2',
          volume: { type: 'CLOUDSSD', size: 50 },
          region: 'cairn',
          availability_zone: 'az1',
          vpc_id: 'vpc',
          subnet_id: 'subnet',
          security_group_id: 'group',
          restore_point: { instance_id: instanceId, type: 'backup', backup_id: source.id },
        },
      },
    );
    await untilJobEnds(hw, made.job_id);
    const { id } = made.instance;
    const show = async (): Promise<InstanceList> =>
      await hw<InstanceList>('GET', '/v3/{p}/instances', { ...ok, query: [['id', id]] });
    const [instance] = (await show()).instances;
    assert.ok(instance);
    assert.ok(['ACTIVE', 'BACKING UP'].includes(instance.status), instance.status);
    assert.ok(instance.nodes.some(({ role }) => role === 'master'));
    assert.match(instance.maintenance_window, /-/);
    const path = `/v3/{p}/instances/${id}/backups/policy`;
    const policy = { keep_days: 3, start_time: '01:00-02:00', period: '1,2,3,4,5,6,7' };
    await hw('PUT', path, { accepts: [200, 201, 202], body: { backup_policy: policy } });
    const [after] = (await show()).instances;
    assert.deepEqual(after?.backup_strategy, { start_time: '01:00-02:00', keep_days: 3 });
    await hw('DELETE', `/v3/{p}/instances/${id}`, { accepts: [200, 202, 204] });
    await poll(async () => {
      const [left] = (await show()).instances;
      if (!left) return true;
      assert.ok(['ACTIVE', 'BACKING UP'].includes(left.status), left.status);
      return null;
    });
  });

  test('pages until a page is empty', async () => {
    const ids: string[] = [];
    for (;;) {
      const query = [
        ['instance_id', instanceId],
        ['limit', '1'],
        ['offset', String(ids.length)],
      ] as const;
      const page = await hw<BackupListWire>('GET', '/v3/{p}/backups', { ...ok, query });
      if (page.backups.length === 0) break;
      ids.push(...page.backups.map(({ id }) => id));
    }
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.length >= 2);
  });
});

suite('the opentelekomcloud provider', () => {
  let otc: StrictClient;
  before(() => {
    otc = createStrictClient(service, 'credential');
  });

  test('rds_backup_v3: waits for ACTIVE, creates, reads, deletes', async () => {
    const { instances } = await otc<InstanceList>('GET', '/v3/{p}/instances', {
      ...ok,
      query: [['id', instanceId]],
    });
    assert.equal(instances[0]?.status, 'ACTIVE', 'an empty list makes it panic');
    assert.equal(typeof instances[0]?.enable_ssl, 'boolean');
    assert.equal(typeof instances[0]?.port, 'number');
    const { backup } = await otc<CreateBackupResponse>('POST', '/v3/{p}/backups', {
      accepts: [200, 201],
      body: { instance_id: instanceId, name: 'otc_backup', description: 'plan must be empty' },
    });
    const query = [
      ['instance_id', instanceId],
      ['backup_id', backup.id],
    ] as const;
    const read = await poll(async () => {
      const { backups } = await otc<BackupListWire>('GET', '/v3/{p}/backups', { ...ok, query });
      const [found] = backups;
      assert.ok(found, 'an empty list is an error');
      assert.ok(['BUILDING', 'COMPLETED'].includes(found.status), found.status);
      return found.status === 'COMPLETED' ? found : null;
    });
    assert.equal(read.description, 'plan must be empty', 'else every plan replaces the backup');
    await otc('DELETE', `/v3/{p}/backups/${backup.id}`, { accepts: [200, 201, 204] });
    await poll(async () => {
      const { backups } = await otc<BackupListWire>('GET', '/v3/{p}/backups', { ...ok, query });
      if (backups.length === 0) return true;
      assert.equal(backups[0]?.status, 'DELETING', 'still COMPLETED is an error');
      return null;
    });
  });

  test('finds what it needs in the catalogue, the projects and the domains', async () => {
    type Entry = { type: string; endpoints: { interface: string; url: string }[] };
    const { catalog } = await otc<{ catalog: Entry[] }>('GET', '/v3/auth/catalog', ok);
    const rds = catalog.find(({ type }) => type === 'rdsv3');
    const endpoint = rds?.endpoints.find((entry) => entry.interface === 'public');
    assert.equal(endpoint?.url, `${service.endpoint}/v3/${service.projectId}`);
    const { projects } = await otc<{ projects: { id: string }[] }>('GET', '/v3/projects', {
      ...ok,
      query: [['name', service.keys.region]],
    });
    assert.deepEqual(
      projects.map(({ id }) => id),
      [service.projectId],
    );
    const { domains } = await otc<{ domains: unknown[] }>('GET', '/v3/auth/domains', ok);
    assert.equal(domains.length, 1);
  });

  test('switches the policy off and asks for windows without a date', async () => {
    const path = `/v3/{p}/instances/${instanceId}/backups/policy`;
    await otc('PUT', path, { ...ok, body: { backup_policy: { keep_days: 0 } } });
    const policy = await otc<{ backup_policy: unknown }>('GET', path, ok);
    assert.deepEqual(policy.backup_policy, { keep_days: 0 });
    type Windows = { restore_time: { start_time: number; end_time: number }[] };
    const windows = await otc<Windows>('GET', `/v3/{p}/instances/${instanceId}/restore-time`, ok);
    assert.ok(windows.restore_time.length >= 1);
    for (const { start_time: start, end_time: end } of windows.restore_time) {
      assert.ok(Number.isInteger(start) && start <= end);
    }
  });
});
