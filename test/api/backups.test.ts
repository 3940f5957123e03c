import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CairnError } from '../../src/model/errors.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

async function create(body: unknown, headers: Record<string, string> = {}) {
  return await scene.call('POST', scene.rds('/backups'), { body, headers });
}

describe('createManualBackup', () => {
  test('answers 200 with the building backup and its job', async () => {
    const instance = await scene.addInstance();
    const response = await create({
      instance_id: instance.id,
      name: 'nightly-1',
      description: 'before the upgrade',
    });
    assert.equal(response.statusCode, 200);
    const { backup, job_id } = response.json();
    assert.match(backup.id, /^[0-9a-f]{32}br03$/);
    assert.match(job_id, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    assert.deepEqual(backup, {
      id: backup.id,
      instance_id: instance.id,
      name: 'nightly-1',
      description: 'before the upgrade',
      databases: [],
      begin_time: '2030-01-01T00:00:00+0000',
      status: 'BUILDING',
      type: 'manual',
    });
    const job = await scene.call('GET', scene.rds(`/jobs?id=${job_id}`));
    assert.equal(job.statusCode, 200);
    assert.equal(job.json().job.status, 'Running');
    const list = await scene.call('GET', scene.rds(`/backups?backup_id=${backup.id}`));
    assert.equal(list.json().total_count, 1);
    assert.equal(list.json().backups[0].size, 0);
    assert.equal(list.json().backups[0].end_time, '');
  });

  test('ignores unknown fields and empty engine-foreign ones', async () => {
    const instance = await scene.addInstance();
    const response = await create({
      instance_id: instance.id,
      name: 'ignoring',
      restore_all_database: true,
      databases: [],
      backup_database_individually: false,
    });
    assert.equal(response.statusCode, 200);
  });

  test('takes a description of 256 characters, not bytes', async () => {
    const instance = await scene.addInstance();
    const description = '字😀'.repeat(128);
    const response = await create({ instance_id: instance.id, name: 'described', description });
    assert.equal(response.statusCode, 200);
    assert.equal(response.json().backup.description, description);
  });

  const id = 'd8e6ca5a624745bcb546a227aa3ae1cfin03';
  const good = { instance_id: id, name: 'some-name' };
  const refused: readonly (readonly [string, unknown, number, string])[] = [
    ['name too short', { ...good, name: 'abc' }, 400, 'DBS.280277'],
    ['name too long', { ...good, name: 'a'.repeat(65) }, 400, 'DBS.280277'],
    ['name begins with a digit', { ...good, name: '1abc' }, 400, 'DBS.280277'],
    ['name with a dot', { ...good, name: 'ab.cd' }, 400, 'DBS.280277'],
    ['name with a line break at its end', { ...good, name: 'abcd\n' }, 400, 'DBS.280277'],
    ['name is a number', { ...good, name: 12345 }, 400, 'DBS.280001'],
    ['name is missing', { instance_id: id }, 400, 'DBS.280001'],
    ['name is null', { ...good, name: null }, 400, 'DBS.280001'],
    ...[...'><!"&\'=\n\r'].map(
      (character) =>
        [
          `description with ${JSON.stringify(character)}`,
          { ...good, description: `a${character}b` },
          400,
          'DBS.280127',
        ] as const,
    ),
    ['description too long', { ...good, description: 'a'.repeat(257) }, 400, 'DBS.280127'],
    ['description is a number', { ...good, description: 7 }, 400, 'DBS.280001'],
    ['instance id is missing', { name: 'some-name' }, 400, 'DBS.280001'],
    ['instance id is empty', { ...good, instance_id: '' }, 400, 'DBS.280404'],
    ['instance id is malformed', { ...good, instance_id: '../../etc' }, 400, 'DBS.280404'],
    ['instance id is a list', { ...good, instance_id: [id] }, 400, 'DBS.280001'],
    ['instance is unknown', good, 404, 'DBS.200002'],
    ['databases is a text', { ...good, databases: 'db1' }, 400, 'DBS.280001'],
    ['databases of numbers', { ...good, databases: [1] }, 400, 'DBS.280001'],
    ['flag is a text', { ...good, backup_database_individually: 'yes' }, 400, 'DBS.280001'],
    ['one by one of nothing', { ...good, backup_database_individually: true }, 400, 'DBS.280001'],
    ['body is a list', [good], 400, 'DBS.280001'],
    ['body is a text', 'text', 400, 'DBS.280001'],
    ['body is null', null, 400, 'DBS.280001'],
  ];
  for (const [label, body, status, code] of refused) {
    test(`refuses: ${label}`, async () => {
      const response = await create(body);
      assert.equal(response.json().error_code, code, response.body);
      assert.equal(response.statusCode, status);
      assert.ok(response.json().error_msg.length > 0);
    });
  }

  test('single databases: unknown ones are refused, if the server can be asked', async () => {
    const instance = await scene.addInstance();
    const body = {
      ...{ instance_id: instance.id, name: 'partial', backup_database_individually: true },
      databases: [{ name: 'db1' }, { name: 'db2' }],
    };
    scene.driver.missingDatabases = ['db2'];
    const refused = await create(body);
    assert.deepEqual([refused.statusCode, refused.json().error_code], [400, 'DBS.280128']);
    assert.match(refused.json().error_msg, /db2/);
    const twice = await create({ ...body, databases: [{ name: 'db1' }, { name: 'db1' }] });
    assert.deepEqual([twice.statusCode, twice.json().error_code], [400, 'DBS.280001']);
    scene.driver.missingDatabases = new CairnError('engine-unreachable', 'away');
    const accepted = await create(body);
    scene.driver.missingDatabases = [];
    assert.equal(accepted.statusCode, 200, accepted.body);
    assert.deepEqual(accepted.json().backup.databases, body.databases);
  });

  test('refuses an empty body and one that is no JSON', async () => {
    for (const [payload, code] of [
      ['', 'DBS.200006'],
      [' \n', 'DBS.200006'],
      ['{"name":', 'APIGW.0201'],
      ['{"__proto__":{}}', 'APIGW.0201'],
      ['\u0000', 'APIGW.0201'],
      ['['.repeat(500_000), 'APIGW.0201'],
    ] as const) {
      const response = await scene.call('POST', scene.rds('/backups'), { payload });
      assert.equal(response.statusCode, 400);
      assert.equal(response.json().error_code, code);
    }
  });

  test('refuses 10 MB with 413', async () => {
    const response = await create({ ...good, description: 'a'.repeat(10_000_000) });
    assert.equal(response.statusCode, 413);
    assert.equal(response.json().error_code, 'APIGW.0201');
  });

  test('refuses a name that exists in the project, until its backup is being deleted', async () => {
    const [first, second] = [await scene.addInstance(), await scene.addInstance()];
    const backup = await scene.addBackup(first, { name: 'taken-name' });
    const body = { instance_id: second.id, name: 'taken-name' };
    const response = await create(body);
    assert.equal(response.statusCode, 409);
    assert.equal(response.json().error_code, 'DBS.201209');
    assert.equal((await create({ ...body, name: 'Taken-name' })).statusCode, 200);
    await scene.catalog.backups.setState(backup.id, { status: 'deleting', endedAt: null });
    const third = await scene.addInstance();
    assert.equal((await create({ ...body, instance_id: third.id })).statusCode, 200);
  });

  test('refuses a second backup while one is being made', async () => {
    const instance = await scene.addInstance();
    assert.equal((await create({ instance_id: instance.id, name: 'running-1' })).statusCode, 200);
    const response = await create({ instance_id: instance.id, name: 'running-2' });
    assert.equal(response.statusCode, 409);
    assert.equal(response.json().error_code, 'DBS.201205');
  });

  test('refuses an instance that is not active, or is being removed', async () => {
    const building = await scene.addInstance({ state: { status: 'building' }, connection: null });
    const failed = await scene.addInstance({ state: { status: 'create-failed', reason: 'x' } });
    const leaving = await scene.addInstance();
    await scene.call('DELETE', scene.rds(`/instances/${leaving.id}`));
    for (const instance of [building, failed, leaving]) {
      const response = await create({ instance_id: instance.id, name: 'inactive' });
      assert.equal(response.statusCode, 400);
      assert.equal(response.json().error_code, 'DBS.200086');
    }
  });

  test('of 20 at once on one instance, exactly one is accepted', async () => {
    const instance = await scene.addInstance();
    const responses = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        create({ instance_id: instance.id, name: `race-${index}` }),
      ),
    );
    const codes = responses.map((response) => response.statusCode).sort();
    assert.deepEqual(codes, [200, ...Array.from({ length: 19 }, () => 409)]);
    const list = await scene.call('GET', scene.rds(`/backups?instance_id=${instance.id}`));
    assert.equal(list.json().total_count, 1);
    const jobs = await scene.catalog.jobs.listOpen(instance.id);
    assert.equal(jobs.length, 1);
  });

  test('of 20 at once with one name on many instances, exactly one is accepted', async () => {
    const instances = [];
    for (let index = 0; index < 20; index++) instances.push(await scene.addInstance());
    const responses = await Promise.all(
      instances.map(({ id }) => create({ instance_id: id, name: 'one-name' })),
    );
    const accepted = responses.filter((response) => response.statusCode === 200);
    assert.equal(accepted.length, 1);
    const refusals = responses.filter((response) => response.statusCode !== 200);
    assert.ok(refusals.every((response) => response.json().error_code === 'DBS.201209'));
  });

  test('answers in Chinese when asked to', async () => {
    const response = await create({ ...good, name: '1' }, { 'x-language': 'zh-cn' });
    assert.match(response.json().error_msg, /备份名称不合法/);
  });
});

describe('deleteManualBackup', () => {
  const remove = async (id: string, headers: Record<string, string> = {}) =>
    await scene.call('DELETE', scene.rds(`/backups/${id}`), { headers });

  test('answers 200 without a body, and again while it is being deleted', async () => {
    const instance = await scene.addInstance();
    const backup = await scene.addBackup(instance);
    for (let times = 0; times < 2; times++) {
      const response = await remove(backup.id, { 'content-type': 'application/json' });
      assert.equal(response.statusCode, 200);
      assert.equal(response.body, '');
    }
    const list = await scene.call('GET', scene.rds(`/backups?backup_id=${backup.id}`));
    assert.equal(list.json().backups[0].status, 'DELETING');
    const jobs = await scene.catalog.jobs.listOpen(instance.id);
    assert.deepEqual(
      jobs.map((job) => [job.kind, job.payload]),
      [['delete-backup', { backupId: backup.id }]],
    );
  });

  test('begins anew a deletion whose job is gone', async () => {
    const instance = await scene.addInstance();
    const state = { status: 'deleting', endedAt: null } as const;
    const backup = await scene.addBackup(instance, { state });
    assert.equal((await remove(backup.id)).statusCode, 200);
    assert.equal((await scene.catalog.jobs.listOpen(instance.id)).length, 1);
  });

  test('takes failed backups, and those whose instance is gone', async () => {
    const instance = await scene.addInstance();
    const state = { status: 'failed', endedAt: scene.clock.now(), reason: 'x' } as const;
    const failed = await scene.addBackup(instance, { state });
    const kept = await scene.addBackup(instance);
    await scene.catalog.instances.delete(instance.id);
    assert.equal((await remove(failed.id)).statusCode, 200);
    assert.equal((await remove(kept.id)).statusCode, 200);
  });

  test('refuses what must not go', async () => {
    const instance = await scene.addInstance();
    const auto = await scene.addBackup(instance, { type: 'auto' });
    const building = await scene.addBackup(instance, { state: { status: 'building' } });
    const used = await scene.addBackup(instance);
    await scene.call('POST', scene.rds('/instances'), {
      body: {
        name: 'restored-here',
        restore_point: { instance_id: instance.id, backup_id: used.id },
      },
    });
    for (const [id, status, code] of [
      ['nobody', 404, 'DBS.201010'],
      ['a%2Fb', 404, 'DBS.201010'],
      [auto.id, 409, 'DBS.200402'],
      [building.id, 409, 'DBS.201202'],
      [used.id, 400, 'DBS.201208'],
    ] as const) {
      const response = await remove(id);
      assert.equal(response.json().error_code, code);
      assert.equal(response.statusCode, status);
    }
    assert.equal(
      (await scene.catalog.backups.find(used.projectId, used.id))?.state.status,
      'completed',
    );
  });
});

describe('showBackup', () => {
  test('tells positions and totals', async () => {
    const backup = await scene.addBackup(await scene.addInstance());
    const response = await scene.call('GET', scene.cairn(`/backups/${backup.id}`));
    assert.equal(response.statusCode, 200);
    const detail = response.json().backup;
    assert.equal(detail.start_position, 'postgresql:1:0/3000028');
    assert.equal(detail.failure_reason, null);
    assert.deepEqual(detail.totals, {
      file_count: 3,
      logical_bytes: 2_869_249,
      new_bytes: 1000,
      stored_bytes: 500,
    });
  });
  test('tells why a backup failed', async () => {
    const state = { status: 'failed', endedAt: scene.clock.now(), reason: 'disk full' } as const;
    const backup = await scene.addBackup(await scene.addInstance(), { state });
    const detail = (await scene.call('GET', scene.cairn(`/backups/${backup.id}`))).json().backup;
    assert.equal(detail.failure_reason, 'disk full');
    assert.equal(detail.totals, null);
  });
  test('an unknown one is 404', async () => {
    const response = await scene.call('GET', scene.cairn('/backups/nobody'));
    assert.equal(response.statusCode, 404);
    assert.equal(response.json().error_code, 'DBS.201010');
  });
  test('the list needs no instance', async () => {
    const response = await scene.call('GET', scene.cairn('/backups?limit=2'));
    assert.equal(response.statusCode, 200);
    assert.equal(response.json().backups.length, 2);
  });
});
