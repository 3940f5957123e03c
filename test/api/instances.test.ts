import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CairnError } from '../../src/model/errors.ts';
import type { ApiScene } from './api-scene.ts';
import { blocking, openApiScene, password, projectId, warning } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

describe('listInstances', () => {
  const list = async (query = '') => await scene.call('GET', scene.rds(`/instances${query}`));

  test('shows every field that clients read without looking', async () => {
    const instance = await scene.addInstance({ name: 'shown-fully' });
    const response = await list(`?id=${instance.id}`);
    assert.equal(response.statusCode, 200);
    assert.equal(response.json().total_count, 1);
    const shown = response.json().instances[0];
    const expected = {
      id: instance.id,
      name: 'shown-fully',
      status: 'ACTIVE',
      type: 'Single',
      private_ips: ['db.example.com'],
      public_ips: [],
      port: 5433,
      enable_ssl: true,
      datastore: { type: 'PostgreSQL', version: '16', complete_version: '16.4' },
      created: '2030-01-01T00:00:00+0000',
      db_user_name: 'backup',
      region: 'test',
      tags: [],
      related_instance: [],
    };
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(shown[key], value, key);
    for (const key of [
      'vpc_id',
      'subnet_id',
      'security_group_id',
      'flavor_ref',
      'switch_strategy',
    ]) {
      assert.equal(typeof shown[key], 'string', key);
    }
    for (const key of ['disk_encryption_id', 'enterprise_project_id', 'time_zone']) {
      assert.equal(typeof shown[key], 'string', key);
    }
    assert.equal(Number.isInteger(shown.volume.size), true);
    assert.equal(shown.backup_strategy.keep_days, 0);
    assert.match(shown.maintenance_window, /-/);
    assert.equal(shown.nodes[0].role, 'master');
    assert.equal(shown.charge_info.charge_mode, 'postPaid');
    assert.ok(!response.body.includes(password));
  });
  test('says what state an instance is in', async () => {
    const building = await scene.addInstance({ state: { status: 'building' }, connection: null });
    const failed = await scene.addInstance({ state: { status: 'create-failed', reason: 'x' } });
    const [first] = (await list(`?id=${building.id}`)).json().instances;
    assert.equal(first.status, 'BUILD');
    assert.equal(first.created, '');
    const [second] = (await list(`?id=${failed.id}`)).json().instances;
    assert.equal(second.status, 'CREATE FAIL');
  });
  test('filters by name, part of a name, and kind', async () => {
    const instance = await scene.addInstance({ name: 'Orders-main' });
    const count = async (query: string) => (await list(query)).json().total_count;
    assert.equal(await count('?name=Orders-main'), 1);
    assert.equal(await count('?name=Orders'), 0);
    assert.equal(await count('?name=*rders'), 1);
    assert.equal(await count('?name=*orders'), 0);
    assert.equal(await count(`?id=${instance.id}&datastore_type=PostgreSQL`), 1);
    assert.equal(await count(`?id=${instance.id}&datastore_type=MySQL`), 0);
    assert.equal(await count(`?id=${instance.id}&type=Single`), 1);
    assert.equal(await count(`?id=${instance.id}&type=Ha`), 0);
  });
  test('an unknown id is an empty 200, a name in its place too', async () => {
    for (const query of ['?id=SOME-NAME', '?id=x&group_type=flexus', '?offset=1000']) {
      const response = await list(query);
      assert.equal(response.statusCode, 200);
      assert.deepEqual(response.json().instances, []);
    }
  });
  test('refuses what is out of range', async () => {
    for (const query of ['?limit=0', '?limit=101', '?offset=-1', '?type=single', '?name=*']) {
      assert.equal((await list(query)).json().error_code, 'DBS.280001', query);
    }
    assert.equal((await list('?datastore_type=postgresql')).json().error_code, 'DBS.280235');
  });
});

describe('deleteInstance', () => {
  const remove = async (id: string) => await scene.call('DELETE', scene.rds(`/instances/${id}`));

  test('answers 202 with a job, and the same job again', async () => {
    const instance = await scene.addInstance();
    const first = await remove(instance.id);
    assert.equal(first.statusCode, 202);
    assert.deepEqual((await remove(instance.id)).json(), first.json());
    const job = await scene.call('GET', scene.rds(`/jobs?id=${first.json().job_id}`));
    assert.equal(job.json().job.instance.id, instance.id);
    // Clients know no word for an instance that is going: it stays as it is.
    const list = await scene.call('GET', scene.rds(`/instances?id=${instance.id}`));
    assert.equal(list.json().instances[0].status, 'ACTIVE');
  });
  test('refuses while a backup runs on it', async () => {
    const instance = await scene.addInstance();
    await scene.call('POST', scene.rds('/backups'), {
      body: { instance_id: instance.id, name: 'in-the-way' },
    });
    const response = await remove(instance.id);
    assert.equal(response.statusCode, 409);
    assert.equal(response.json().error_code, 'DBS.201202');
  });
  test('refuses while a restore builds it, or reads from one of its backups', async () => {
    const source = await scene.addInstance();
    const backup = await scene.addBackup(source);
    const restore = await scene.call('POST', scene.rds('/instances'), {
      body: {
        name: 'being-built',
        restore_point: { instance_id: source.id, backup_id: backup.id },
      },
    });
    for (const id of [source.id, restore.json().instance.id]) {
      assert.equal((await remove(id)).statusCode, 409);
    }
  });
  test('an unknown one is 404, a malformed id 400', async () => {
    assert.equal((await remove('unknown')).json().error_code, 'DBS.200002');
    assert.equal((await remove('a.b')).json().error_code, 'DBS.280404');
  });
});

describe('registerInstance', () => {
  const register = async (body: unknown) =>
    await scene.call('POST', scene.cairn('/instances'), { body });
  const url = `postgres://backup:${password}@db.example.com:5433/postgres`;

  test('takes the short name of a server that exists already', async () => {
    const response = await register({ name: 'pg1', url });
    assert.equal(response.statusCode, 201, response.body);
    assert.equal(response.json().instance.name, 'pg1');
  });
  test('gives the jobs of a server to the workers of its pool', async () => {
    const registered = await register({ name: 'far-away', url, pool: 'site-b' });
    assert.equal(registered.json().instance.pool, 'site-b');
    const created = await scene.call('POST', scene.rds('/backups'), {
      body: { instance_id: registered.json().instance.id, name: 'from-site-b' },
    });
    assert.equal(created.statusCode, 200, created.body);
    const job = await scene.catalog.jobs.find(projectId, created.json().job_id);
    assert.equal(job?.pool, 'site-b');
    for (const pool of ['', 'Site', 'a b', 'x'.repeat(33)]) {
      assert.equal((await register({ name: 'nowhere', url, pool })).statusCode, 400, pool);
    }
  });
  test('takes a connection string, tests it, and answers 201 with all findings', async () => {
    scene.driver.answer = {};
    const response = await register({ name: 'by-url', url });
    assert.equal(response.statusCode, 201, response.body);
    const { instance, findings } = response.json();
    assert.match(instance.id, /in03$/);
    assert.equal(instance.server_version, '16.4');
    assert.equal(instance.status, 'active');
    assert.deepEqual(findings, [warning]);
    assert.ok(!response.body.includes(password));
    const shown = await scene.call('GET', scene.cairn(`/instances/${instance.id}`));
    assert.deepEqual(shown.json().instance, instance);
    assert.ok(!shown.body.includes(password));
    assert.equal(scene.driver.seen.at(-1)?.password?.reveal(), password);
  });
  test('takes the parts of a connection', async () => {
    const response = await register({
      ...{ name: 'by-parts', engine: 'postgresql', host: '10.0.0.1', user: 'u', password },
      ...{ sslmode: 'verify-full', ca: 'PEM' },
    });
    assert.equal(response.statusCode, 201, response.body);
    assert.equal(response.json().instance.port, 5432);
    assert.equal(response.json().instance.database, 'postgres');
    assert.equal(response.json().instance.sslmode, 'verify-full');
    assert.ok(!response.body.includes(password));
  });
  test('refuses a server that cannot be backed up, with all findings, nothing stored', async () => {
    scene.driver.answer = { findings: [warning, blocking] };
    const response = await register({ name: 'not-ready', url });
    assert.equal(response.statusCode, 422);
    assert.equal(response.json().error_code, 'CAIRN.0003');
    assert.deepEqual(response.json().findings, [warning, blocking]);
    assert.match(response.json().error_msg, /wal_level is minimal/);
    const list = await scene.call('GET', scene.cairn('/instances?name=not-ready'));
    assert.equal(list.json().total_count, 0);
  });
  test('refuses a server that does not answer, or a wrong password', async () => {
    for (const [kind, check] of [
      ['engine-unreachable', 'connection'],
      ['engine-refused', 'login'],
    ] as const) {
      scene.driver.answer = new CairnError(kind, `it is ${kind}`, { hint: 'look at it' });
      const response = await register({ name: 'no-answer', url });
      assert.equal(response.statusCode, 422);
      assert.deepEqual(response.json().findings, [
        { check, severity: 'blocking', message: `it is ${kind}`, hint: 'look at it' },
      ]);
      assert.ok(!response.body.includes(password));
    }
    scene.driver.answer = {};
  });
  test('refuses names that are taken or not valid', async () => {
    const { name } = await scene.addInstance();
    const taken = await register({ name, url });
    assert.equal(taken.statusCode, 409);
    assert.equal(taken.json().error_code, 'DBS.200022');
    assert.equal((await register({ name: '1', url })).json().error_code, 'DBS.200021');
  });
  test('refuses addresses that are none, without repeating them', async () => {
    for (const body of [
      { name: 'no-address' },
      { name: 'no-address', url: `oracle://u:${password}@h/d` },
      { name: 'no-address', url: password },
      { name: 'no-address', engine: 'postgresql' },
      { name: 'no-address', engine: 'oracle', host: 'h', user: 'u' },
      { name: 'no-address', engine: 'postgresql', host: 'h', user: 'u', port: 0 },
      { name: 'no-address', engine: 'postgresql', host: 'h', user: 'u', port: '5432' },
      { name: 'no-address', engine: 'postgresql', host: 'h', user: 'u', sslmode: 'maybe' },
    ]) {
      const response = await register(body);
      assert.equal(response.statusCode, 400, response.body);
      assert.ok(!response.body.includes(password));
    }
  });
  test('refuses an engine without a driver', async () => {
    const response = await register({ name: 'other-engine', url: 'mysql://u@h/d' });
    assert.equal(response.statusCode, 400, response.body);
    assert.equal(response.json().error_code, 'DBS.280235');
  });
});

describe('checking a connection', () => {
  test('without registering it: what is wrong is an answer, not an error', async () => {
    scene.driver.answer = { findings: [blocking] };
    const response = await scene.call('POST', scene.cairn('/instances/check'), {
      body: { url: 'postgres://u@h/d' },
    });
    assert.equal(response.statusCode, 200);
    assert.equal(response.json().ready, false);
    assert.deepEqual(response.json().findings, [blocking]);
    scene.driver.answer = {};
  });
  test('of an instance, keeping the version it now has', async () => {
    const instance = await scene.addInstance();
    scene.driver.answer = { serverVersion: '16.5' };
    const path = scene.cairn(`/instances/${instance.id}/check`);
    const response = await scene.call('POST', path);
    assert.equal(response.json().ready, true);
    assert.equal(response.json().server.server_version, '16.5');
    const kept = await scene.catalog.instances.get(instance.projectId, instance.id);
    assert.equal(kept.serverVersion, '16.5');
    assert.equal(kept.connection?.password?.reveal(), password);
    scene.driver.answer = {};
  });
  test('says when another server answers in its place', async () => {
    const instance = await scene.addInstance();
    scene.driver.answer = { systemIdentifier: '1' };
    const response = await scene.call('POST', scene.cairn(`/instances/${instance.id}/check`));
    assert.equal(response.json().ready, false);
    assert.equal(response.json().findings.at(-1).check, 'system-identifier');
    const kept = await scene.catalog.instances.get(instance.projectId, instance.id);
    assert.equal(kept.systemIdentifier, instance.systemIdentifier);
    scene.driver.answer = {};
  });
  test('of an unknown instance, or one that is being built', async () => {
    const building = await scene.addInstance({ state: { status: 'building' }, connection: null });
    const check = async (id: string) =>
      await scene.call('POST', scene.cairn(`/instances/${id}/check`));
    assert.equal((await check('unknown')).statusCode, 404);
    assert.equal((await check(building.id)).json().error_code, 'DBS.200086');
  });
});
