// The contract of `catalog.ts` but for the queue, run against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupState } from '../../src/model/backup.ts';
import { CairnError, isErrorKind } from '../../src/model/errors.ts';
import type { ProjectId } from '../../src/model/ids.ts';
import type { Instance } from '../../src/model/instance.ts';
import { Secret } from '../../src/model/secret.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import {
  completed,
  makeBackup,
  makeInstance,
  makeToken,
  makeUser,
} from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { someInstanceId, someJobId, testProjectId } from '../fixtures/catalogs.ts';

const otherProjectId = 'fedcba9876543210fedcba9876543210' as ProjectId;
const firstPage = { offset: 0, limit: 10 };

export function catalogSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`catalog contract: ${leg}`, { concurrency: false }, () => {
    identityTests(openFresh);
    instanceTests(openFresh);
    backupTests(openFresh);
    backupListTests(openFresh);
    transactionTests(openFresh);
    settingTests(openFresh);
  });
}

function identityTests(openFresh: OpenFreshCatalog): void {
  it('keeps projects by id and by name', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const other = { id: otherProjectId, name: 'other', domainId: 'default' };
    await identity.insertProject(other);
    assert.deepEqual(await identity.findProject(otherProjectId), other);
    assert.deepEqual(await identity.findProjectByName('other'), other);
    assert.equal(await identity.findProjectByName('Other'), null);
    const names = (await identity.listProjects()).map(({ name }) => name);
    assert.deepEqual(names, ['other', 'test']);
    const twin = { ...other, id: someJobId() as string as ProjectId };
    await assert.rejects(identity.insertProject(twin), isConflict(/project other exists/));
  });

  it('keeps users, whose names are unique within a domain', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const user = makeUser('admin', 'one');
    await identity.insertUser(user);
    await identity.insertUser(makeUser('admin', 'two'));
    assert.deepEqual(await identity.findUser(user.id), user);
    assert.deepEqual(await identity.findUserByName('one', 'admin'), user);
    assert.equal(await identity.findUserByName('one', 'nobody'), null);
    await assert.rejects(identity.insertUser(makeUser('admin', 'one')), isConflict(/admin/));
  });

  it('keeps secret keys wrapped and tokens until they expire', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const user = makeUser('admin', 'one');
    await identity.insertUser(user);
    const key = { accessKey: 'AK1', secretKey: new Secret('sk-плюс'), userId: user.id };
    await identity.insertAccessKey({ ...key, createdAt: new Date(7) });
    assert.equal((await identity.findAccessKey('AK1'))?.secretKey.reveal(), 'sk-плюс');
    assert.equal(await identity.findAccessKey('AK2'), null);
    const token = makeToken('t1', user, { expiresMs: 1000, projectId: testProjectId });
    const later = makeToken('t2', user, { expiresMs: 1001, projectId: null });
    await identity.insertToken(token);
    await identity.insertToken(later);
    assert.deepEqual((await identity.findToken('t1'))?.token, token);
    await identity.deleteExpiredTokens(new Date(1000));
    assert.equal(await identity.findToken('t1'), null);
    assert.deepEqual((await identity.findToken('t2'))?.token, later);
  });

  it('refuses what refers to nothing', async () => {
    await using fresh = await openFresh();
    const instance = makeInstance({ projectId: otherProjectId });
    await assert.rejects(fresh.catalog.instances.insert(instance), isConflict(/does not exist/));
  });
}

function instanceTests(openFresh: OpenFreshCatalog): void {
  it('reads back an instance as it was written', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const instance = makeInstance({});
    await instances.insert(instance);
    const read = await instances.get(testProjectId, instance.id);
    assert.deepEqual(hidePassword(read), hidePassword(instance));
    assert.equal(read.connection?.password?.reveal(), 'pa$$ wörd');
    assert.equal(await instances.find(otherProjectId, instance.id), null);
    await assert.rejects(instances.get(testProjectId, someInstanceId()), isKind('not-found'));
  });

  it('reads back an instance that has nothing yet', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const bare = { connection: null, serverVersion: null, systemIdentifier: null, managed: null };
    const instance = makeInstance({ ...bare, state: { status: 'building' } });
    await instances.insert(instance);
    assert.deepEqual(await instances.get(testProjectId, instance.id), instance);
  });

  it('gives each name of a project to one instance', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const first = makeInstance({ name: 'orders' });
    const second = makeInstance({ name: 'Orders' });
    await instances.insert(first);
    await instances.insert(second);
    const twin = makeInstance({ name: 'orders' });
    await assert.rejects(instances.insert(twin), isConflict(/named orders exists/));
    const renamed = { ...second, name: 'orders' };
    await assert.rejects(instances.update(renamed), isConflict(/named orders exists/));
  });

  it('updates everything but id, project and creation time', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const instance = makeInstance({});
    await instances.insert(instance);
    const changed = { ...instance, name: 'renamed', pool: 'east', managed: null };
    await instances.update({ ...changed, createdAt: new Date(1) });
    assert.deepEqual(
      hidePassword(await instances.get(testProjectId, instance.id)),
      hidePassword(changed),
    );
    const state = { status: 'create-failed', reason: 'no room' } as const;
    await instances.setState(instance.id, state, new Date(99));
    const read = await instances.get(testProjectId, instance.id);
    assert.deepEqual([read.state, read.updatedAt], [state, new Date(99)]);
    await instances.delete(instance.id);
    await instances.delete(instance.id);
    await assert.rejects(instances.update(instance), isKind('not-found'));
    await assert.rejects(instances.setState(instance.id, state, new Date(1)), isKind('not-found'));
  });

  it('lists instances newest first, by filter and by page', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const names = ['alpha', 'beta_1', 'BETA_2', 'gamma%'];
    const made = names.map((name, at) => makeInstance({ name, createdAt: new Date(at) }));
    for (const instance of made) await instances.insert(instance);
    const list = async (filter: object, page = firstPage): Promise<[string[], number]> => {
      const { items, total } = await instances.list({ projectId: testProjectId, ...filter }, page);
      return [items.map(({ name }) => name), total];
    };
    assert.deepEqual(await list({}), [[...names].reverse(), 4]);
    assert.deepEqual(await list({}, { offset: 1, limit: 2 }), [['BETA_2', 'beta_1'], 4]);
    assert.deepEqual(await list({ name: 'alpha' }), [['alpha'], 1]);
    assert.deepEqual(await list({ name: 'Alpha' }), [[], 0]);
    assert.deepEqual(await list({ name: '*eta' }), [['beta_1'], 1]);
    assert.deepEqual(await list({ name: '*%' }), [['gamma%'], 1]);
    assert.deepEqual(await list({ name: '*' }), [[...names].reverse(), 4]);
    assert.deepEqual(await list({ id: made[0]?.id, engine: 'postgresql' }), [['alpha'], 1]);
    assert.deepEqual(await list({ engine: 'mysql' }), [[], 0]);
    assert.deepEqual(await list({ projectId: otherProjectId }), [[], 0]);
  });

  it('opens passwords with the key that wrapped them only', async () => {
    await using fresh = await openFresh();
    const instance = makeInstance({});
    await fresh.catalog.instances.insert(instance);
    const stranger = await fresh.openAnother(MasterKey.generate());
    await assert.rejects(
      stranger.instances.get(testProjectId, instance.id),
      isKind('repository-damaged'),
    );
  });
}

function backupTests(openFresh: OpenFreshCatalog): void {
  it('reads back a backup in each of its states', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const backup = makeBackup({ databases: ['a', 'ü"'] });
    await backups.insert(backup);
    const states: BackupState[] = [
      completed(5),
      { status: 'deleting', endedAt: new Date(5) },
      { status: 'failed', endedAt: new Date(6), reason: 'no server' },
      { status: 'deleting', endedAt: null },
      { status: 'building' },
    ];
    assert.deepEqual(await backups.get(testProjectId, backup.id), backup);
    for (const state of states) {
      await backups.setState(backup.id, state);
      assert.deepEqual(await backups.get(testProjectId, backup.id), { ...backup, state });
    }
    assert.equal(await backups.find(otherProjectId, backup.id), null);
    await backups.delete(backup.id);
    await backups.delete(backup.id);
    await assert.rejects(backups.get(testProjectId, backup.id), isKind('not-found'));
    await assert.rejects(backups.setState(backup.id, completed(5)), isKind('not-found'));
  });

  it('lets a name be used again once its backup is being deleted', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const backup = makeBackup({ name: 'nightly', state: completed(1) });
    await backups.insert(backup);
    assert.equal(await backups.isNameTaken(testProjectId, 'nightly'), true);
    assert.equal(await backups.isNameTaken(testProjectId, 'Nightly'), false);
    assert.equal(await backups.isNameTaken(otherProjectId, 'nightly'), false);
    await assert.rejects(
      backups.insert(makeBackup({ name: 'nightly' })),
      isConflict(/backup named nightly exists/),
    );
    await backups.setState(backup.id, { status: 'deleting', endedAt: new Date(1) });
    assert.equal(await backups.isNameTaken(testProjectId, 'nightly'), false);
    await backups.insert(makeBackup({ name: 'nightly' }));
  });

  it('builds one backup of an instance at a time', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const building = makeBackup({});
    await backups.insert(building);
    assert.deepEqual(await backups.findBuilding(building.instanceId), building);
    const second = makeBackup({ instanceId: building.instanceId });
    await assert.rejects(backups.insert(second), isConflict(/is running/));
    await backups.setState(building.id, completed(1));
    assert.equal(await backups.findBuilding(building.instanceId), null);
    await backups.insert(second);
  });

  it('finds the newest completed full backup of an instance', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const instanceId = someInstanceId();
    assert.equal(await backups.findLatestCompleted(instanceId), null);
    const failed = { status: 'failed', endedAt: new Date(9), reason: 'r' } as const;
    const wanted = makeBackup({ instanceId, startedAt: new Date(3), state: completed(4) });
    const others = [
      makeBackup({ instanceId, startedAt: new Date(2), state: completed(9), type: 'auto' }),
      makeBackup({ instanceId, startedAt: new Date(4), state: completed(5), type: 'incremental' }),
      makeBackup({ instanceId, startedAt: new Date(5), state: failed }),
      makeBackup({ startedAt: new Date(6), state: completed(7) }),
    ];
    for (const backup of [wanted, ...others]) await backups.insert(backup);
    assert.equal((await backups.findLatestCompleted(instanceId))?.id, wanted.id);
  });
}

function backupListTests(openFresh: OpenFreshCatalog): void {
  it('lists backups newest first, by filter and by page', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const instanceId = someInstanceId();
    const made = [0, 1, 2, 3, 4].map((at) =>
      makeBackup({
        name: `backup-${at}`,
        startedAt: new Date(at),
        state: at === 4 ? { status: 'building' } : completed(at),
        type: at % 2 === 0 ? 'manual' : 'auto',
        ...(at < 2 && { instanceId }),
      }),
    );
    for (const backup of made) await backups.insert(backup);
    const list = async (filter: object, page = firstPage): Promise<[string, number]> => {
      const { items, total } = await backups.list({ projectId: testProjectId, ...filter }, page);
      return [items.map(({ name }) => name.slice(-1)).join(''), total];
    };
    assert.deepEqual(await list({}), ['43210', 5]);
    assert.deepEqual(await list({}, { offset: 1, limit: 2 }), ['32', 5]);
    assert.deepEqual(await list({}, { offset: 9, limit: 2 }), ['', 5]);
    assert.deepEqual(await list({ instanceId }), ['10', 2]);
    assert.deepEqual(await list({ backupId: made[3]?.id }), ['3', 1]);
    assert.deepEqual(await list({ type: 'manual' }), ['420', 3]);
    assert.deepEqual(await list({ status: 'completed' }), ['3210', 4]);
    assert.deepEqual(await list({ type: 'manual', status: 'building' }), ['4', 1]);
    assert.deepEqual(await list({ startedFrom: new Date(1), startedTo: new Date(3) }), ['321', 3]);
    assert.deepEqual(await list({ startedFrom: new Date(3), type: 'manual' }), ['4', 1]);
    assert.deepEqual(await list({ projectId: otherProjectId }), ['', 0]);
  });

  it('breaks ties of one millisecond by id, so that pages do not overlap', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    for (let count = 0; count < 7; count++) await backups.insert(makeBackup({}));
    const filter = { projectId: testProjectId };
    const list = async (page: typeof firstPage): Promise<string[]> =>
      (await backups.list(filter, page)).items.map(({ id }) => id);
    const whole = await list(firstPage);
    const paged: string[] = [];
    for (const offset of [0, 2, 4, 6]) paged.push(...(await list({ offset, limit: 2 })));
    assert.deepEqual(paged, whole);
    assert.deepEqual(whole, [...whole].sort().reverse());
  });

  it('keeps the totals right while backups come, change and go', async () => {
    await using fresh = await openFresh();
    const { backups } = fresh.catalog;
    const totals = async (): Promise<number[]> =>
      await Promise.all(
        [{}, { status: 'completed' }, { status: 'deleting' }, { type: 'auto' }].map(
          async (filter) => {
            const request = { projectId: testProjectId, ...filter } as const;
            return (await backups.list(request as never, firstPage)).total;
          },
        ),
      );
    const one = makeBackup({});
    const two = makeBackup({ type: 'auto' });
    await Promise.all([backups.insert(one), backups.insert(two)]);
    assert.deepEqual(await totals(), [2, 0, 0, 1]);
    await Promise.all([backups.setState(one.id, completed(1)), backups.delete(two.id)]);
    assert.deepEqual(await totals(), [1, 1, 0, 0]);
    await backups.setState(one.id, completed(2));
    await backups.setState(one.id, { status: 'deleting', endedAt: null });
    assert.deepEqual(await totals(), [1, 0, 1, 0]);
    await backups.delete(one.id);
    assert.deepEqual(await totals(), [0, 0, 0, 0]);
  });
}

function transactionTests(openFresh: OpenFreshCatalog): void {
  it('writes all of a transaction or nothing', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const backup = makeBackup({});
    const failing = catalog.transaction(async (tx) => {
      await tx.backups.insert(backup);
      await tx.settings.ensure('a', '1');
      throw new CairnError('invalid', 'changed my mind');
    });
    await assert.rejects(failing, isKind('invalid'));
    assert.equal(await catalog.backups.find(testProjectId, backup.id), null);
    assert.equal(await catalog.settings.find('a'), null);
    const answer = await catalog.transaction(async (tx) => {
      await tx.backups.insert(backup);
      return await tx.backups.isNameTaken(testProjectId, backup.name);
    });
    assert.equal(answer, true);
  });

  it('accepts one of many requests for the same thing at the same moment', async () => {
    await using fresh = await openFresh();
    const connections = [fresh.catalog, await fresh.openAnother(), await fresh.openAnother()];
    const instanceId = someInstanceId();
    const requests = Array.from({ length: 12 }, async (_, index) => {
      const catalog = connections[index % connections.length] ?? fresh.catalog;
      await catalog.transaction(async (tx) => {
        if (await tx.backups.findBuilding(instanceId)) throw new CairnError('conflict', 'busy');
        await tx.backups.insert(makeBackup({ instanceId }));
      });
    });
    const results = await Promise.allSettled(requests);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const result of results) {
      if (result.status === 'rejected') assert.ok(isErrorKind(result.reason, 'conflict'));
    }
    const filter = { projectId: testProjectId };
    assert.equal((await fresh.catalog.backups.list(filter, firstPage)).total, 1);
  });
}

function settingTests(openFresh: OpenFreshCatalog): void {
  it('ensures a setting once, whoever comes first', async () => {
    await using fresh = await openFresh();
    const other = await fresh.openAnother();
    const answers = await Promise.all([
      fresh.catalog.settings.ensure('catalog-id', 'one'),
      other.settings.ensure('catalog-id', 'two'),
    ]);
    assert.equal(answers[0], answers[1]);
    assert.equal(await other.settings.find('catalog-id'), answers[0]);
    assert.equal(await other.settings.find('nothing'), null);
  });

  it('keeps what was written when it is opened again', async () => {
    await using fresh = await openFresh();
    const instance = makeInstance({});
    await fresh.catalog.instances.insert(instance);
    await fresh.catalog.close();
    const again = await fresh.openAnother();
    await again.ping();
    const read = await again.instances.get(testProjectId, instance.id);
    assert.equal(read.connection?.password?.reveal(), 'pa$$ wörd');
  });
}

function isKind(kind: CairnError['kind']): (error: unknown) => boolean {
  return (error) => isErrorKind(error, kind);
}

function isConflict(text: RegExp): (error: unknown) => boolean {
  return (error) => isErrorKind(error, 'conflict') && text.test(error.message);
}

/** Secrets compare by identity; the rest of an instance by value. */
function hidePassword(instance: Instance): unknown {
  return JSON.parse(JSON.stringify(instance));
}
