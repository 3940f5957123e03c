// A new master key: at every moment the key in use opens everything, whatever dies; the old one
// opens everything until it is retired, and nothing afterwards.
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { isErrorKind } from '../src/model/errors.ts';
import type { KeyChangeParts } from '../src/operations/keys/change-master-key.ts';
import { changeMasterKey, retireMasterKey } from '../src/operations/keys/change-master-key.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { death, KeyWorld, Reaper } from './fixtures/key-world.ts';
import { never, testInstanceId } from './fixtures/repositories.ts';

const retire = (id: string) => (parts: KeyChangeParts, signal: AbortSignal) =>
  retireMasterKey(parts, id, signal);

/** Runs the command until one attempt has come through alive; answers at how many steps it died. */
async function dieAtEveryStep(
  template: KeyWorld,
  command: Parameters<KeyWorld['run']>[0],
  after: (world: KeyWorld, step: number) => Promise<void>,
): Promise<number> {
  for (let step = 1; ; step++) {
    await using world = await template.clone();
    const attempt = world.run(command, new Reaper(step));
    const outcome = await attempt.then(
      () => 'alive',
      (error: unknown) => error,
    );
    if (outcome === 'alive') return step - 1;
    assert.equal(outcome, death, String(outcome));
    await after(world, step);
  }
}

/** Two instances with a backup each, and a copy of the first. */
async function openWorld(): Promise<KeyWorld> {
  const world = await KeyWorld.open();
  await world.work();
  await world.copy();
  await world.work();
  return world;
}

describe('a change of the master key', () => {
  test('that dies at any step leaves a service that works, and is ended by the next', async () => {
    await using template = await openWorld();
    const steps = await dieAtEveryStep(template, changeMasterKey, async (world, step) => {
      const old = await world.currentKey();
      await world.assertOpens();
      await world.assertStorageOpens(old, world.target);
      await world.assertListedOpen();
      // The service goes on: what it makes now must not be lost to the new key.
      await world.work();
      const { oldId, newId } = await world.run(changeMasterKey);
      const current = await world.currentKey();
      assert.equal(current.id, newId);
      assert.notEqual(oldId, newId);
      assert.deepEqual(await world.files(), ['master.key', `master.key.${oldId}.retired`]);
      await world.assertOpens();
      await world.assertStorageOpens(current, world.target);
      await world.run(retire(oldId));
      await world.assertOpens();
      await world.copy();
      await world.assertStorageOpens(current, world.target);
      assert.deepEqual(await world.files(), ['master.key'], `step ${step}`);
    });
    assert.ok(steps >= 10, `${steps} steps`);
  });

  test('leaves both keys valid, the old one beside the new, and private', async () => {
    await using world = await openWorld();
    const old = await world.currentKey();
    const { oldId, newId, dataKeys, secrets, keyToSet } = await world.run(changeMasterKey);
    assert.deepEqual([oldId, dataKeys, secrets, keyToSet], [old.id, 2, 4, null]);
    assert.equal((await readFile(`${world.path}.${oldId}.retired`, 'utf8')).trim(), old.reveal());
    for (const path of [world.path, `${world.path}.${oldId}.retired`]) {
      assert.equal((await stat(path)).mode & 0o777, 0o600);
    }
    const current = await world.currentKey();
    assert.equal(current.id, newId);
    for (const key of [old, current]) {
      await world.assertOpens(key);
      await world.assertStorageOpens(key, world.target);
    }
    const texts = [...world.source.objects.values()].map(String);
    assert.ok(!texts.some((text) => text.includes(current.reveal())));
  });

  test('is followed by what processes with the old key make meanwhile', async () => {
    await using world = await openWorld();
    const old = await world.currentKey();
    const { oldId, newId } = await world.run(changeMasterKey);
    await world.work(old);
    await assert.rejects(world.assertOpens(), { message: new RegExp(`needs master key ${oldId}`) });
    await assert.rejects(world.run(retire(oldId)), { kind: 'repository-damaged' });
    await world.assertOpens(old);
    const again = await world.run(changeMasterKey);
    assert.deepEqual([again.oldId, again.newId, again.dataKeys], [oldId, newId, 3]);
    await world.assertOpens();
    await world.run(retire(oldId));
    await world.assertOpens();
    const next = await world.run(changeMasterKey);
    assert.equal(next.oldId, newId);
    await world.assertOpens();
  });

  test('of a key from the environment says what to set, and ends when it is set', async () => {
    await using world = await openWorld();
    const old = (world.environment = await world.currentKey());
    const first = await world.run(changeMasterKey);
    assert.equal(first.keyToSet, `${world.path}.next`);
    assert.deepEqual(await world.run(changeMasterKey), first, 'the same key, as often as asked');
    await world.assertOpens(old);
    world.environment = MasterKey.parse(await readFile(`${world.path}.next`, 'utf8'));
    await world.assertOpens();
    const last = await world.run(changeMasterKey);
    assert.deepEqual(last, { ...first, keyToSet: null });
    await world.run(retire(old.id));
    assert.deepEqual(await world.files(), ['master.key'], 'which nobody reads');
    await world.assertOpens();
  });

  test('can be given up', async () => {
    await using world = await openWorld();
    const old = (world.environment = await world.currentKey());
    const { newId } = await world.run(changeMasterKey);
    await world.run(retire(newId));
    assert.deepEqual(await world.files(), ['master.key']);
    await world.assertOpens(old);
    assert.notEqual((await world.run(changeMasterKey)).newId, newId);
  });

  test('with a data key that nothing opens names it, and changes nothing', async () => {
    await using world = await openWorld();
    const [name = ''] = [...world.source.objects.keys()].filter((each) => /^keys/.test(each));
    const bytes = world.source.objects.get(name) ?? Buffer.alloc(0);
    world.source.objects.set(name, Buffer.from(String(bytes).replace(/"wrapped": "../, '$&AA')));
    const old = await world.currentKey();
    await assert.rejects(world.run(changeMasterKey), (error: Error) =>
      error.message.includes(name),
    );
    assert.equal((await world.currentKey()).id, old.id);
    world.source.objects.set(name, bytes);
    await world.run(changeMasterKey);
    await world.assertOpens();
  });
});

describe('a retired master key', () => {
  test('is gone at every step or valid, and the next attempt ends it', async () => {
    await using template = await openWorld();
    const { oldId } = await template.run(changeMasterKey);
    const steps = await dieAtEveryStep(template, retire(oldId), async (world) => {
      await world.assertOpens();
      await world.work();
      await world.run(retire(oldId));
      await world.assertOpens();
      await world.assertStorageOpens(await world.currentKey(), world.target);
      assert.deepEqual(await world.files(), ['master.key']);
    });
    assert.ok(steps >= 9, `${steps} steps`);
  });

  test('opens nothing, says which key is needed, and comes in by no back door', async () => {
    await using world = await openWorld();
    const old = await world.currentKey();
    const { newId } = await world.run(changeMasterKey);
    // A process that has opened the repository before.
    await world.withRepository(async (stale) => {
      await world.run(retire(old.id));
      const before = [...world.source.objects.keys()];
      const writer = stale.openWriter({
        ...{ instanceId: testInstanceId, backupId: 'x' as never, previousBackupId: null },
        ...{ now: new Date(0), signal: never, log: undefined as never },
      });
      await assert.rejects(writer, { kind: 'conflict', hint: new RegExp(newId) });
      assert.deepEqual([...world.source.objects.keys()], before, 'no key of it stays');
    }, old);
    for (const storage of [world.source, world.target]) {
      await assert.rejects(world.assertStorageOpens(old, storage), (error) => {
        return isErrorKind(error, 'invalid') && error.hint?.includes(newId) === true;
      });
      const wraps = [...storage.objects].filter(([name]) => name.startsWith('keys/'));
      assert.ok(wraps.every(([, bytes]) => !String(bytes).includes(old.id)));
    }
    await assert.rejects(
      world.withCatalog(async ({ identity }) => identity.findAccessKey('secret-1'), old),
      { message: new RegExp(`needs master key ${newId}, this one is ${old.id}`) },
    );
  });

  test('stays while a data key needs it, also one that is minted at that moment', async () => {
    await using world = await openWorld();
    const old = await world.currentKey();
    await world.run(changeMasterKey);
    const when = { now: new Date(0), signal: never };
    const create = world.source.createExclusive.bind(world.source);
    let minted = false;
    // Right before the record: whoever mints has looked at the one before.
    world.source.createExclusive = async (name, bytes, signal) => {
      if (name.startsWith('master-keys/') && !minted) {
        minted = true;
        await world.work(old);
      }
      return await create(name, bytes, signal);
    };
    for (let attempt = 1; attempt <= 2; attempt++) {
      await assert.rejects(
        world.withRepository((repository) => repository.retireMasterKey(old.id, when)),
        { kind: 'repository-damaged', message: new RegExp(`needs master key ${old.id}`) },
      );
      await world.assertOpens(old);
    }
    await world.run(changeMasterKey);
    await world.run(retire(old.id));
    await world.assertOpens();
  });

  test('is neither the one in use nor unknown', async () => {
    await using world = await openWorld();
    await world.run(changeMasterKey);
    const { id } = await world.currentKey();
    await assert.rejects(world.run(retire(id)), { kind: 'invalid', message: /in use/ });
    await assert.rejects(world.run(retire('0'.repeat(16))), { kind: 'not-found' });
    await assert.rejects(world.run(retire('../x')), { kind: 'invalid' });
    await world.assertOpens();
  });

  test('of a copy goes with the next copy, not before the copy opens without it', async () => {
    await using world = await openWorld();
    const old = await world.currentKey();
    // Without a second copy, as one made by hand.
    const alone = (parts: KeyChangeParts): KeyChangeParts => ({
      ...parts,
      copyMasterKeys: async () => undefined,
    });
    await world.run((parts, signal) => changeMasterKey(alone(parts), signal));
    const current = await world.currentKey();
    await assert.rejects(world.assertStorageOpens(current, world.target), { kind: 'invalid' });
    await world.run((parts, signal) => retireMasterKey(alone(parts), old.id, signal));
    await world.assertStorageOpens(old, world.target);
    await world.copy();
    await world.assertStorageOpens(current, world.target);
    await assert.rejects(world.assertStorageOpens(old, world.target), { kind: 'invalid' });
  });
});

test('a check finds a data key that the master key in use does not open', async () => {
  await using world = await openWorld();
  const old = await world.currentKey();
  await world.run(changeMasterKey);
  const check = () =>
    world.withRepository((repository) =>
      repository.check({
        ...{ instanceIds: null, readData: null, onProgress: () => undefined, signal: never },
      }),
    );
  const sound = await check();
  assert.deepEqual([sound.findings, sound.counts.keys], [[], 2]);
  await world.work(old);
  const { findings } = await check();
  assert.equal(findings.length, 1);
  assert.match(findings[0]?.object ?? '', /^keys\/0+3in03\.1\.json$/);
  assert.match(findings[0]?.message ?? '', new RegExp(`needs master key ${old.id}`));
  assert.match(findings[0]?.hint ?? '', /cairn key change/);
});

test('a key that a killed change has made is used, and one in use is not made twice', async () => {
  await using world = await openWorld();
  const next = MasterKey.generate();
  await writeFile(`${world.path}.next`, `${next.reveal()}\n`, { mode: 0o600 });
  assert.equal((await world.run(changeMasterKey)).newId, next.id);
  // Killed between the switch and its end.
  await writeFile(`${world.path}.next`, `${next.reveal()}\n`, { mode: 0o600 });
  const again = await world.run(changeMasterKey);
  assert.equal(again.newId, next.id);
  await world.run(retire(again.oldId));
  await writeFile(`${world.path}.next`, `${next.reveal()}\n`, { mode: 0o600 });
  const { newId, oldId } = await world.run(changeMasterKey);
  assert.deepEqual([newId === next.id, oldId], [false, next.id]);
  await world.assertOpens();
});
