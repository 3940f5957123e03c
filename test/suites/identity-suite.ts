// Users, grants, access keys, tokens and failed logins, alike in both databases.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog, User } from '../../src/catalog/catalog.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import type { ProjectId } from '../../src/model/ids.ts';
import { Secret } from '../../src/model/secret.ts';
import { issueToken } from '../../src/operations/identity/issue-token.ts';
import { revokeGrant, setGrant } from '../../src/operations/identity/manage-grants.ts';
import { deleteProject } from '../../src/operations/identity/manage-projects.ts';
import { deleteUser } from '../../src/operations/identity/manage-users.ts';
import { hashPassword } from '../../src/operations/identity/passwords.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { makeInstance, makeToken, makeUser } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

export function identitySuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`identity in the catalog: ${leg}`, () => recordTests(openFresh));
  describe(`identity under two at once: ${leg}`, () => raceTests(openFresh));
}

async function addUsers(fresh: FreshCatalog, count: number): Promise<User[]> {
  const users = Array.from({ length: count }, (_, index) => ({
    ...makeUser(`user-${index}`, 'acme'),
    domainId: 'default',
  }));
  for (const user of users) await fresh.catalog.identity.insertUser(user);
  return users;
}

function recordTests(openFresh: OpenFreshCatalog): void {
  it('keeps one grant for each place, and null is a place', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const [user, other] = await addUsers(fresh, 2);
    assert.ok(user && other);
    const { id: userId } = user;
    await identity.setGrant({ userId, projectId: null, role: 'viewer' });
    await identity.setGrant({ userId, projectId: testProjectId, role: 'owner' });
    await identity.setGrant({ userId, projectId: null, role: 'operator' });
    const grants = [
      { userId, projectId: null, role: 'operator' },
      { userId, projectId: testProjectId, role: 'owner' },
    ] as const;
    assert.deepEqual(await identity.listGrants(userId), grants);
    await identity.setGrant({ userId: other.id, projectId: null, role: 'viewer' });
    assert.equal((await identity.listDomainGrants('default')).length, 3);
    assert.deepEqual(await identity.listDomainGrants('other'), []);
    await identity.deleteGrant(userId, null);
    assert.deepEqual(await identity.listGrants(userId), [grants[1]]);
  });

  it('removes a user with everything that is theirs, and nothing of others', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const [user, other] = await addUsers(fresh, 2);
    assert.ok(user && other);
    for (const { id: userId, name } of [user, other]) {
      const secretKey = new Secret('secret');
      await identity.insertAccessKey({
        accessKey: name,
        secretKey,
        userId,
        createdAt: new Date(1),
      });
      await identity.setGrant({ userId, projectId: null, role: 'viewer' });
    }
    const validity = { expiresMs: 1000, projectId: testProjectId };
    await identity.insertToken(makeToken('t1', user, validity));
    await identity.insertToken(makeToken('t2', other, validity));
    await identity.deleteUser(user.id);
    assert.equal(await identity.findUser(user.id), null);
    assert.equal(await identity.findToken('t1'), null);
    assert.equal(await identity.findAccessKey(user.name), null);
    assert.deepEqual(await identity.listUsers('default'), [other]);
    assert.ok(await identity.findToken('t2'));
    const [key] = await identity.listAccessKeys(other.id);
    assert.deepEqual([key?.accessKey, key?.createdAt], [other.name, new Date(1)]);
    assert.equal((await identity.listGrants(other.id)).length, 1);
  });

  it('counts failures of one login, and forgets the old ones of all', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const add = (login: string, ms: number, since = 0) =>
      identity.addLoginFailure(login, new Date(ms), new Date(since));
    assert.equal(await add('a', 10), 1);
    assert.equal(await add('b', 11), 1);
    const counts = await Promise.all([add('a', 20), add('a', 20), add('a', 20)]);
    assert.deepEqual(counts.sort(), [2, 3, 4]);
    assert.deepEqual(await identity.findLoginFailures('a'), {
      count: 4,
      lastFailedAt: new Date(20),
    });
    assert.equal(await add('c', 30, 15), 1);
    assert.equal(await identity.findLoginFailures('b'), null);
    assert.equal(await add('a', 50, 40), 1, 'an old row of its own begins anew');
    await identity.clearLoginFailures('a');
    assert.equal(await identity.findLoginFailures('a'), null);
  });

  it('ends the tokens of one user', async () => {
    await using fresh = await openFresh();
    const { identity } = fresh.catalog;
    const [user, other] = await addUsers(fresh, 2);
    assert.ok(user && other);
    const validity = { expiresMs: 1000, projectId: null };
    for (const hash of ['t1', 't2', 't3']) {
      await identity.insertToken(makeToken(hash, user, validity));
    }
    await identity.insertToken(makeToken('o1', other, validity));
    await identity.deleteToken('t1');
    assert.equal(await identity.findToken('t1'), null);
    assert.ok(await identity.findToken('t2'));
    await identity.setPasswordHash(user.id, 'scrypt$new');
    assert.equal((await identity.findUser(user.id))?.passwordHash, 'scrypt$new');
    await identity.deleteTokens(user.id);
    assert.equal(await identity.findToken('t3'), null);
    assert.ok(await identity.findToken('o1'));
  });
}

function raceTests(openFresh: OpenFreshCatalog): void {
  const log = silentLogger;

  it('always leaves an owner', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const parts = { catalog, log, clock: new ManualClock(), random: systemRandom };
    for (let round = 0; round < 8; round++) {
      const [a, b] = await addUsers(fresh, 2).catch(() => catalog.identity.listUsers('default'));
      assert.ok(a && b);
      for (const { id: userId } of [a, b]) {
        await catalog.identity.setGrant({ userId, projectId: null, role: 'owner' });
      }
      const demote = { projectId: null, role: 'viewer' } as const;
      const results = await Promise.allSettled([
        round % 2 === 0 ? revokeGrant(parts, a, a.id, null) : deleteUser(parts, b, a.id),
        setGrant(parts, b, b.id, demote),
        setGrant(parts, a, b.id, demote),
      ]);
      const failures = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
      for (const failure of failures) {
        const isRefusal = isErrorKind(failure, 'conflict') || isErrorKind(failure, 'forbidden');
        assert.ok(isRefusal, String(failure));
      }
      const owners = (await catalog.identity.listDomainGrants('default')).filter(
        ({ role, projectId }) => role === 'owner' && projectId === null,
      );
      assert.equal(owners.length, 1, `round ${round}`);
      for (const { id } of await catalog.identity.listUsers('default')) {
        await catalog.identity.deleteUser(id);
      }
    }
  });

  it('gives no token to a password that was changed meanwhile', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const clock = new ManualClock();
    const [user] = await addUsers(fresh, 1);
    assert.ok(user);
    const password = new Secret('the-old-password');
    const old = await hashPassword(password, systemRandom);
    await catalog.identity.setPasswordHash(user.id, old);
    const credentials = { kind: 'password', user: { kind: 'id', id: user.id }, password } as const;
    const issue = issueToken({ catalog, clock, random: systemRandom }, credentials, {
      kind: 'domain',
    });
    // The check takes a tenth of a second; this comes in between.
    await new Promise((done) => setTimeout(done, 20));
    await catalog.identity.setPasswordHash(user.id, 'scrypt$new');
    await assert.rejects(issue, (error) => isErrorKind(error, 'unauthenticated'));
  });

  it('says that a project is not empty, also when something came after the look', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const [user] = await addUsers(fresh, 1);
    assert.ok(user);
    await catalog.identity.setGrant({ userId: user.id, projectId: null, role: 'owner' });
    const late: Catalog = {
      ...catalog,
      transaction: (work) =>
        catalog.transaction(async (tx) => {
          const deleteProject = async (id: ProjectId): Promise<void> => {
            await tx.instances.insert(makeInstance({ projectId: id }));
            await tx.identity.deleteProject(id);
          };
          return await work({ ...tx, identity: { ...tx.identity, deleteProject } });
        }),
    };
    await assert.rejects(
      deleteProject({ catalog: late, log, random: systemRandom }, user, testProjectId),
      (error) => isErrorKind(error, 'conflict') && error.reason === 'project-not-empty',
    );
  });

  it('removes no project that something comes into at the same moment', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const [user] = await addUsers(fresh, 1);
    assert.ok(user);
    await catalog.identity.setGrant({ userId: user.id, projectId: null, role: 'owner' });
    for (let round = 0; round < 6; round++) {
      const id = `${round}`.repeat(32) as ProjectId;
      await catalog.identity.insertProject({ id, name: `p-${round}`, domainId: 'default' });
      const outcomes: readonly PromiseSettledResult<void>[] = await Promise.allSettled([
        deleteProject({ catalog, log, random: systemRandom }, user, id),
        catalog.instances.insert(makeInstance({ projectId: id })),
      ]);
      const [removed, inserted] = outcomes.map(({ status }) => status === 'fulfilled');
      assert.notEqual(removed, inserted, `round ${round}`);
      const [removal] = outcomes;
      if (removal?.status === 'rejected') assert.equal(removal.reason.reason, 'project-not-empty');
      assert.equal(await catalog.instances.count(id), inserted ? 1 : 0);
    }
  });
}
