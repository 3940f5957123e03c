// Backups in a bucket with object lock, on a real store: what is locked, for how long, what an
// intruder with the same credentials can do, and the way back.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { isErrorKind } from '../src/model/errors.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { keyObject, manifestObject } from '../src/repository/format.ts';
import type { Repository } from '../src/repository/repository.ts';
import { openExistingStorage } from '../src/storage/open-storage.ts';
import type { S3Storage } from '../src/storage/s3.ts';
import type { Storage } from '../src/storage/storage.ts';
import { backUp, filesOf, openSource } from './fixtures/copies.ts';
import { ManualClock } from './fixtures/manual-clock.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { extractAll, never, testBackupId, testInstanceId } from './fixtures/repositories.ts';
import { openS3, useCredentials, versionsOf } from './fixtures/s3-storages.ts';

const dayMs = 86_400_000;
const pace = { settleMs: 20, pollMs: 10, waitMs: 20_000 };
const [first, second] = [testBackupId(1), testBackupId(2)];
let store: ObjectStore;
before(async () => {
  store = await startObjectStore('ceph');
  useCredentials(store.environment);
  await store.makeBucket('plain');
  await store.makeBucket('locked', { canLock: true });
});
after(() => store[Symbol.asyncDispose]());

const urlOf = (prefix: string, rest: string): string => `${store.urlOf('locked', prefix)}&${rest}`;

/** Days that the lock of each name has left; null: not locked. Of names with one version. */
async function daysLeft(storage: S3Storage): Promise<Map<string, number | null>> {
  const days = new Map<string, number | null>();
  for (const version of await versionsOf(storage)) {
    if (version.isDeletion || version.name.startsWith('tmp/')) continue;
    const end = (await storage.lock?.findEnd(version, never)) ?? null;
    days.set(version.name, end && (end.getTime() - Date.now()) / dayMs);
  }
  return days;
}

const near = (days: number | null | undefined, expected: number): boolean =>
  typeof days === 'number' && Math.abs(days - expected) < 0.1;

type Scene = {
  readonly storage: S3Storage;
  readonly repository: Repository;
  readonly masterKey: MasterKey;
};

/** Two backups; the second refers to what the first has stored. And what a dead attempt left. */
async function withBackups(
  prefix: string,
  mode: string,
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  const storage = await openS3(urlOf(prefix, `lock=${mode}&lock_days=1`), { pace });
  const masterKey = MasterKey.generate();
  await using repository = await openSource(storage, masterKey);
  await backUp(repository, first, 1);
  await backUp(repository, second, 2);
  await storage.requests.put(leftover, Buffer.from('half a backup'), never);
  await work({ storage, repository, masterKey });
}
const leftover = `instances/${testInstanceId}/backups/${testBackupId(9)}/packs/dead`;

/** The same place with other terms. */
async function reopen(
  prefix: string,
  rest: string,
  { masterKey }: Scene,
): Promise<{ readonly storage: S3Storage; readonly repository: Repository }> {
  const storage = await openS3(urlOf(prefix, rest), { pace });
  return { storage, repository: await openSource(storage, masterKey) };
}

const overwrite = (prefix: string, name: string): Promise<unknown> =>
  store.client.send(
    new PutObjectCommand({ Bucket: 'locked', Key: `${prefix}/${name}`, Body: 'pay in bitcoin' }),
  );
const remove = (prefix: string, name: string, VersionId?: string): Promise<unknown> =>
  store.client.send(
    new DeleteObjectCommand({
      ...{ Bucket: 'locked', Key: `${prefix}/${name}` },
      ...(VersionId === undefined ? {} : { VersionId }),
    }),
  );

for (const mode of ['governance', 'compliance']) {
  describe(`a bucket with ${mode} locks`, () => {
    it('keeps what backups need, and only that, from whoever has the credentials', async () => {
      await withBackups(`keep-${mode}`, mode, async ({ storage, repository }) => {
        const report = await repository.extendLocks(testInstanceId, {
          ...{ expected: [first, second], signal: never },
        });
        assert.deepEqual([report?.findings, report?.damage], [[], null]);
        const days = await daysLeft(storage);
        assert.equal(days.get(leftover), null);
        days.delete(leftover);
        assert.ok(days.has(keyObject(`${testInstanceId}.1`)) && days.has('repository.json'));
        assert.ok([...days.keys()].filter((name) => name.includes('/packs/')).length >= 2);
        for (const [name, left] of days) assert.ok(near(left, 4), `${name}: ${left}`);
        assert.equal(report?.needed, days.size);
        for (const { name, versionId } of await versionsOf(storage, 'instances/')) {
          if (name === leftover) continue;
          await assert.rejects(remove(`keep-${mode}`, name, versionId), /AccessDenied|forbidden/);
        }
        const again = await repository.extendLocks(testInstanceId, { expected: [], signal: never });
        assert.equal(again?.extended, 0);
      });
    });

    it('gets longer locks for what is still needed, and for nothing else', async () => {
      const prefix = `extend-${mode}`;
      await withBackups(prefix, mode, async (scene) => {
        await scene.repository.extendLocks(testInstanceId, { expected: [], signal: never });
        const ofFirst = await versionsOf(scene.storage, `instances/${testInstanceId}/backups/`);
        await scene.repository.deleteBackup(testInstanceId, first, {
          ...{ assertLease: async () => undefined, signal: never },
        });
        assert.equal(
          await scene.repository.findBackup(testInstanceId, first, never),
          null,
          'deleting a locked backup makes it disappear at once',
        );
        // A lock of one day with its spare days is too short for three days.
        const later = await reopen(prefix, `lock=${mode}&lock_days=3`, scene);
        const report = await later.repository.extendLocks(testInstanceId, {
          ...{ expected: [second], signal: never },
        });
        assert.deepEqual(report?.findings, []);
        const days = await daysLeft(later.storage);
        const visible = await Array.fromAsync(later.storage.list('', never));
        for (const { name } of visible) {
          if (name !== leftover) assert.ok(near(days.get(name), 6), `${name}: ${days.get(name)}`);
        }
        const names = new Set(visible.map(({ name }) => name));
        const gone = ofFirst.filter(({ name }) => !names.has(name));
        assert.ok(gone.some(({ name }) => name.endsWith('/manifest')));
        for (const { name } of gone) assert.ok(near(days.get(name), 4), `${name} was extended`);
        await later.repository[Symbol.asyncDispose]();
      });
    });
  });
}

describe('an intruder with the credentials of Cairn', () => {
  it('is found out by what he overwrote and deleted, and nothing runs out meanwhile', async () => {
    const prefix = 'found-out';
    await withBackups(prefix, 'compliance', async (scene) => {
      await scene.repository.extendLocks(testInstanceId, { expected: [], signal: never });
      const manifest = manifestObject(testInstanceId, first);
      const [pack] = (await Array.fromAsync(scene.storage.list('instances/', never))).filter(
        ({ name }) => name.includes(`${second}/packs/`),
      );
      assert.ok(pack);
      await overwrite(prefix, pack.name);
      await remove(prefix, manifest);
      const later = await reopen(prefix, 'lock=compliance&lock_days=3', scene);
      const report = await later.repository.extendLocks(testInstanceId, {
        ...{ expected: [first, second], signal: never },
      });
      const byName = (a: { object: string }, b: { object: string }): number =>
        a.object < b.object ? -1 : 1;
      assert.deepEqual(
        [...(report?.findings ?? [])].sort(byName),
        [
          { object: manifest, problem: 'deleted' },
          { object: pack.name, problem: 'overwritten' },
        ].sort(byName),
      );
      // Whose manifest is hidden, of that nobody knows what it needs.
      for (const version of await versionsOf(later.storage)) {
        if (version.isDeletion || version.name.startsWith('tmp/')) continue;
        const end = (await later.storage.lock?.findEnd(version, never)) ?? null;
        const left = end && (end.getTime() - Date.now()) / dayMs;
        if (version.name === leftover) assert.equal(left, null, 'what had no lock gets none');
        else assert.ok(near(left, 6), `${version.name}: ${left}`);
      }
      await later.repository[Symbol.asyncDispose]();
    });
  });

  it('cannot keep the others from their locks with a manifest or key that is broken', async () => {
    const prefix = 'broken';
    await withBackups(prefix, 'governance', async ({ storage, repository }) => {
      await overwrite(prefix, manifestObject(testInstanceId, first));
      const report = await repository.extendLocks(testInstanceId, {
        ...{ expected: [first, second], signal: never },
      });
      assert.equal(report?.damage?.kind, 'repository-damaged');
      const days = await daysLeft(storage);
      const ofSecond = [...days].filter(([name]) => name.includes(`/backups/${second}/`));
      assert.ok(ofSecond.length >= 3);
      for (const [name, left] of ofSecond) assert.ok(near(left, 4), `${name}: ${left}`);
      assert.ok(near(days.get(keyObject(`${testInstanceId}.1`)), 4));
    });
    await withBackups('no-key', 'governance', async ({ repository }) => {
      await remove('no-key', keyObject(`${testInstanceId}.1`));
      const report = await repository.extendLocks(testInstanceId, {
        ...{ expected: [first, second], signal: never },
      });
      assert.match(report?.damage?.message ?? '', /keys\//);
    });
  });

  it('leaves a way back: the storage as it was before', async () => {
    const prefix = 'way-back';
    await withBackups(prefix, 'governance', async ({ storage, repository, masterKey }) => {
      await repository.extendLocks(testInstanceId, { expected: [], signal: never });
      const names = (await Array.fromAsync(storage.list('', never))).map(({ name }) => name);
      // Stores tell whole seconds.
      await systemClock.sleep(1_100, never);
      const before = new Date();
      await systemClock.sleep(1_100, never);
      for (const name of names) {
        if (name.endsWith('/manifest')) await remove(prefix, name);
        else await overwrite(prefix, name);
      }
      await assert.rejects(
        repository.openReader(testInstanceId, second, never),
        (error) => isErrorKind(error, 'not-found') || isErrorKind(error, 'repository-damaged'),
      );
      const past = await openPast(prefix, before);
      await using asItWas = await openSource(past, masterKey);
      for (const [id, day] of [
        [first, 1],
        [second, 2],
      ] as const) {
        const reader = await asItWas.openReader(testInstanceId, id, never);
        assert.deepEqual(await extractAll(reader), filesOf(day));
      }
      await assert.rejects(past.delete('repository.json', never), /can only be read/);
      await assert.rejects(past.openWriter('a', never), /can only be read/);
      await assert.rejects(past.read('nothing', null, never), (error) =>
        isErrorKind(error, 'not-found'),
      );
      const tail = { offsetBytes: 10_000_000, lengthBytes: 1 };
      await assert.rejects(past.read('repository.json', tail, never), (error) =>
        isErrorKind(error, 'repository-damaged'),
      );
      const earlier = await openPast(prefix, new Date(before.getTime() - dayMs));
      assert.deepEqual(await Array.fromAsync(earlier.list('', never)), []);
    });
  });
});

async function openPast(prefix: string, at: Date): Promise<Storage> {
  const parts = { clock: systemClock, random: systemRandom, log: silentLogger };
  return await openExistingStorage(urlOf(prefix, `at=${at.toISOString()}`), parts);
}

describe('locks', () => {
  it('are given by the clock of the store: ours may be wrong by years', async () => {
    const clock = new ManualClock(undefined, Date.now() + 3_650 * dayMs);
    const place = urlOf('wrong-clock', 'lock=compliance&lock_days=1');
    const storage = await openS3(place, { clock, pace });
    await storage.requests.put('a', Buffer.from('a'), never);
    await storage.lock?.extend(await versionsOf(storage), 'all', never);
    assert.ok(near((await daysLeft(storage)).get('a'), 4));
  });

  it('are refused, with the next step, where a bucket has none', async () => {
    const storage = await openS3(`${store.urlOf('plain', 'x')}&lock=governance`, { pace });
    await assert.rejects(storage.examine(never), (error) => {
      assert.ok(isErrorKind(error, 'invalid'));
      assert.match(error.message, /object lock is not enabled in bucket plain/);
      return /docs\/object-lock\.md/.test(error.hint ?? '');
    });
  });
});
