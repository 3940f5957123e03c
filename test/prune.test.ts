// What may go from an instance's folder, and what must never.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isErrorKind } from '../src/model/errors.ts';
import type { BackupId } from '../src/model/ids.ts';
import type { PruneInput } from '../src/repository/prune-plan.ts';
import { planPrune } from '../src/repository/prune-plan.ts';
import type { Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const hourMs = 3_600_000;
const now = new Date('2030-01-02T00:00:00Z');
const lease = { assertLease: async () => undefined, signal: never };

describe('the plan', () => {
  const names = fc
    .tuple(
      fc.constantFrom('one', 'two', 'three'),
      fc.constantFrom('packs', 'maps', 'checkpoints', 'other'),
      fc.nat(5),
    )
    .map(([backup, kind, n]) => `instances/i/backups/${backup}/${kind}/${n}`);
  const inputs = fc.record({
    objects: fc
      .uniqueArray(names)
      .map((list) => list.map((name, index) => ({ name, sizeBytes: index }))),
    needed: fc.array(names).map((list) => new Set(list)),
    inFlight: fc.subarray(['one', 'two'] as BackupId[]).map((list) => new Set(list)),
    // Also times to come: a clock was set back.
    firstSeen: fc
      .array(fc.tuple(names, fc.integer({ min: -72, max: 5 })))
      .map(
        (list) => new Map(list.map(([name, h]) => [name, new Date(now.getTime() + h * hourMs)])),
      ),
    now: fc.constant(now),
    graceMs: fc.integer({ min: 0, max: 48 }).map((hours) => hours * hourMs),
  });

  test('removes nothing that is needed, in flight, young or foreign', () => {
    const check = (input: PruneInput): void => {
      const plan = planPrune(input);
      for (const { name } of plan.remove) {
        const [, , , backup = '', kind = ''] = name.split('/');
        assert.ok(!input.needed.has(name), 'a manifest names it');
        assert.ok(!input.inFlight.has(backup as BackupId), 'its backup is being made');
        const seenAt = input.firstSeen.get(name);
        assert.ok(seenAt && now.getTime() - seenAt.getTime() >= input.graceMs, 'it is young');
        assert.ok(['packs', 'maps', 'checkpoints'].includes(kind), 'nobody knows what it is');
      }
    };
    fc.assert(fc.property(inputs, check), { numRuns: 2000 });
  });

  test('puts every object into one list, and removes all that may go', () => {
    const check = (input: PruneInput): void => {
      const { remove, wait, keep, foreign } = planPrune(input);
      const all = [...remove, ...wait, ...keep, ...foreign].map(({ name }) => name);
      assert.deepEqual(all.toSorted(), input.objects.map(({ name }) => name).toSorted());
      const later = new Map([...remove, ...wait].map(({ name }) => [name, new Date(0)]));
      const second = planPrune({ ...input, firstSeen: later });
      assert.equal(second.wait.length, 0, 'what waits goes after the grace period');
      assert.equal(second.remove.length, remove.length + wait.length);
    };
    fc.assert(fc.property(inputs, check), { numRuns: 500 });
  });
});

type Scene = {
  readonly storage: MemoryStorage;
  readonly repository: Repository;
  readonly files: ModelFiles;
};

/** Two backups, the second refers to the first, and leftovers of an attempt that died. */
async function openScene(): Promise<Scene> {
  const storage = new MemoryStorage();
  const { repository } = await openTestRepository(storage);
  const files: ModelFiles = new Map([['base/1', Buffer.alloc(80_000, 'first')]]);
  await storeFiles(repository, files, { backupId: testBackupId(1) });
  files.set('base/2', Buffer.alloc(50_000, 'second'));
  const previousBackupId = testBackupId(1);
  await storeFiles(repository, files, { backupId: testBackupId(2), previousBackupId });
  for (const kind of ['packs', 'maps']) {
    storage.objects.set(leftover(kind), Buffer.from('left over'));
  }
  return { storage, repository, files };
}

function leftover(kind: string): string {
  return `instances/${testInstanceId}/backups/${testBackupId(9)}/${kind}/dead-000000`;
}

async function survey(repository: Repository, seenHoursAgo: number | null, inFlight = [3]) {
  const seenAt = seenHoursAgo === null ? null : new Date(now.getTime() - seenHoursAgo * hourMs);
  const knowledge = {
    inFlight: new Set(inFlight.map(testBackupId)),
    firstSeen: { get: () => seenAt ?? undefined } as unknown as ReadonlyMap<string, Date>,
    ...{ now, graceMs: 24 * hourMs },
  };
  return await repository.surveyInstance(testInstanceId, knowledge, never);
}

const namesOf = (objects: readonly { name: string }[]): string[] =>
  objects.map(({ name }) => name).toSorted();

describe('a repository', () => {
  test('loses leftovers after the grace period, and nothing else', async () => {
    const { storage, repository, files } = await openScene();
    assert.deepEqual(namesOf((await survey(repository, null)).remove), []);
    assert.deepEqual(namesOf((await survey(repository, 23)).remove), []);
    const plan = await survey(repository, 24);
    assert.deepEqual(namesOf(plan.remove), [leftover('maps'), leftover('packs')]);
    assert.deepEqual(plan.backupIds.toSorted(), [testBackupId(1), testBackupId(2)]);
    const before = storage.objects.size;
    const { removed } = await repository.removeUnneeded(testInstanceId, plan.remove, lease);
    assert.deepEqual(namesOf(removed), namesOf(plan.remove));
    assert.equal(storage.objects.size, before - 2);
    const reader = await repository.openReader(testInstanceId, testBackupId(2), never);
    assert.deepEqual(await extractAll(reader), files);
  });

  test('loses packs of a deleted backup when the last one that used them has gone', async () => {
    const { repository, files } = await openScene();
    await repository.deleteBackup(testInstanceId, testBackupId(1), lease);
    const first = `instances/${testInstanceId}/backups/${testBackupId(1)}/`;
    const ofFirst = (plan: { remove: readonly { name: string }[] }): string[] =>
      namesOf(plan.remove).filter((name) => name.startsWith(first));
    assert.deepEqual(ofFirst(await survey(repository, 48)), []);
    const reader = await repository.openReader(testInstanceId, testBackupId(2), never);
    assert.deepEqual(await extractAll(reader), files);
    await repository.deleteBackup(testInstanceId, testBackupId(2), lease);
    assert.notDeepEqual(ofFirst(await survey(repository, 48)), []);
  });

  test('keeps what a backup in flight has written', async () => {
    const { repository } = await openScene();
    assert.deepEqual(namesOf((await survey(repository, 48, [9])).remove), []);
  });

  test('keeps what a manifest names that came after the survey', async () => {
    const { repository } = await openScene();
    const { remove } = await survey(repository, 48);
    const files: ModelFiles = new Map([['late', Buffer.alloc(9000, 'late')]]);
    await storeFiles(repository, files, { backupId: testBackupId(5) });
    const own = (await survey(repository, null)).keep.filter(({ name }) =>
      name.includes(testBackupId(5)),
    );
    assert.equal(own.length, 2);
    const { removed } = await repository.removeUnneeded(testInstanceId, [...own, ...remove], lease);
    assert.deepEqual(namesOf(removed), namesOf(remove));
    const reader = await repository.openReader(testInstanceId, testBackupId(5), never);
    assert.deepEqual(await extractAll(reader), files);
  });

  test('never touches what it does not know', async () => {
    const { storage, repository } = await openScene();
    const strange = [
      `instances/${testInstanceId}/notes.txt`,
      `instances/${testInstanceId}/backups/${testBackupId(9)}/README`,
    ];
    for (const name of strange) storage.objects.set(name, Buffer.from('mine'));
    const plan = await survey(repository, 48);
    assert.deepEqual(namesOf(plan.foreign), strange.toSorted());
    assert.deepEqual(namesOf(plan.remove), [leftover('maps'), leftover('packs')]);
  });
});

describe('a prune that cannot be sure', () => {
  const manifest = `instances/${testInstanceId}/backups/${testBackupId(1)}/manifest`;

  test('refuses when a manifest is damaged, cut, empty or of a newer version', async () => {
    const flip = (at: number) => (bytes: Buffer) => {
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      return bytes;
    };
    const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
      flipped: flip(100),
      cut: (bytes) => bytes.subarray(0, 200),
      empty: () => Buffer.alloc(0),
      newer: flip(9),
    };
    for (const [what, damage] of Object.entries(damages)) {
      const { storage, repository } = await openScene();
      const { remove } = await survey(repository, 48);
      storage.objects.set(manifest, damage(Buffer.from(storage.objects.get(manifest) ?? '')));
      const names = [...storage.objects.keys()];
      const isNamed = (error: unknown): boolean =>
        isErrorKind(error, 'repository-damaged') && error.message.includes(manifest);
      await assert.rejects(survey(repository, 48), isNamed, what);
      await assert.rejects(repository.removeUnneeded(testInstanceId, remove, lease), isNamed, what);
      assert.deepEqual([...storage.objects.keys()], names, what);
    }
  });

  test('refuses when the listing breaks off', async () => {
    const { storage, repository } = await openScene();
    const { remove } = await survey(repository, 48);
    const names = [...storage.objects.keys()];
    const list = storage.list.bind(storage);
    storage.list = async function* (prefix, signal) {
      for await (const info of list(prefix, signal)) {
        yield info;
        throw new Error('page 2 is away');
      }
    };
    await assert.rejects(survey(repository, 48), /page 2 is away/);
    await assert.rejects(
      repository.removeUnneeded(testInstanceId, remove, lease),
      /page 2 is away/,
    );
    assert.deepEqual([...storage.objects.keys()], names);
  });

  test('stops before a batch when its lease is lost', async () => {
    const { storage, repository } = await openScene();
    const many = Array.from({ length: 1200 }, (_, n) => `${leftover('packs')}${n}`);
    for (const name of many) storage.objects.set(name, Buffer.from('x'));
    const { remove } = await survey(repository, 48);
    let batches = 0;
    const assertLease = async (): Promise<void> => {
      if (++batches === 2) throw new Error('the lease is lost');
    };
    const pruning = repository.removeUnneeded(testInstanceId, remove, { ...lease, assertLease });
    await assert.rejects(pruning, /the lease is lost/);
    assert.equal(namesOf((await survey(repository, 48)).remove).length, remove.length - 500);
  });

  test('refuses another repository in its place', async () => {
    const { storage, repository } = await openScene();
    const { remove } = await survey(repository, 48);
    storage.objects.delete('repository.json');
    await assert.rejects(survey(repository, 48), { kind: 'storage-unavailable' });
    await assert.rejects(repository.removeUnneeded(testInstanceId, remove, lease), {
      kind: 'storage-unavailable',
    });
  });
});
