// What one attempt at the log archive of SQL Server leaves, and the next one finds: what is stored
// must be one chain for each database, whatever dies on the way.
import assert from 'node:assert/strict';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { releaseLog } from '../../src/engines/sqlserver/log-archive.ts';
import { exchangePrefix } from '../../src/engines/sqlserver/log-names.ts';
import { CairnError } from '../../src/model/errors.ts';
import { deadlineSignal, untilAborted } from '../../src/platform/deadline.ts';
import { mulberry32 } from '../fixtures/mulberry32.ts';
import { never } from '../fixtures/repositories.ts';
import { keeperName, LogScene } from '../fixtures/sqlserver-log-scene.ts';

let own: LogScene;

beforeEach(async () => {
  own = await LogScene.create();
});

afterEach(async () => {
  await own[Symbol.asyncDispose]();
});

describe('an attempt that follows another', () => {
  beforeEach(async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    await own.backUp('full', 'crm', 'crm.bak');
  });

  async function begin(): Promise<void> {
    const following = own.follow();
    own.write('shop', 1);
    await following.until('it is archived', () => own.isStored);
    await following.stop();
  }

  it('stores what the server had finished when the connection was lost', async () => {
    await begin();
    own.write('shop', 2, 3);
    const lost = await own.endAt('written L shop', () => own.scene.server.dropAll());
    await lost.failure('engine-unreachable');
    assert.ok((await own.leftovers()).length > 0);
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop', 'crm');
  });

  it('takes once more what the server had not finished, and removes the rest', async () => {
    await begin();
    own.write('shop', 2, 3);
    const lost = await own.endAt('BACKUP LOG shop 50', () => own.scene.server.dropAll());
    await lost.failure('engine-unreachable');
    const [unfinished] = await own.leftovers();
    assert.ok(unfinished);
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.until('it is gone', async () => !(await own.leftovers()).includes(unfinished));
    await following.stop();
    own.assertWhole('shop', 'crm');
  });

  it('stores, in order, what ends when somebody else has taken over', async () => {
    await begin();
    own.write('crm', 2);
    const lost = await own.endAt('written L crm', () => own.scene.server.dropAll());
    await lost.failure('engine-unreachable');
    const { history } = own.scene.server.world;
    const late = history.pop();
    assert.ok(late);
    own.write('crm', 3);
    own.write('shop', 4);
    own.onStep = (step) => {
      if (!step.startsWith('BACKUP LOG crm')) return;
      own.onStep = () => undefined;
      history.push(late);
    };
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop', 'crm');
  });

  it('has a gap when a file is gone that was not stored yet', async () => {
    await begin();
    own.write('shop', 2);
    await (await own.endAt('written L shop', () => own.scene.server.dropAll())).failure(
      'engine-unreachable',
    );
    for (const name of await own.leftovers()) await rm(join(own.scene.folder, name));
    const { message } = await own.follow().failure('log-gap');
    assert.match(message, /log of shop, and it is not there/);
    own.assertCovered();
  });

  it('has no gap, but waits, where the share is not mounted here', async () => {
    await begin();
    own.write('shop', 2);
    await (await own.endAt('written L shop', () => own.scene.server.dropAll())).failure(
      'engine-unreachable',
    );
    const aside = `${own.scene.folder}-aside`;
    const names = await own.leftovers();
    const { folder } = own.scene.server.world;
    await mkdir(aside);
    for (const name of names) await rename(join(own.scene.folder, name), join(aside, name));
    Object.assign(folder, { here: aside });
    const { hint } = await own.follow().failure('storage-unavailable');
    assert.match(hint ?? '', /mounted/);
    Object.assign(folder, { here: own.scene.folder });
    for (const name of names) await rename(join(aside, name), join(own.scene.folder, name));
    await rm(aside, { recursive: true });
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop', 'crm');
  });

  it('does not take a folder that is not the same on both sides for a gap', async () => {
    Object.assign(own.scene.server.world.folder, { here: join(own.scene.folder, 'elsewhere') });
    await mkdir(join(own.scene.folder, 'elsewhere'));
    own.scene.server.world.denied.add('CREATE DATABASE');
    own.write('shop', 1);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const { message, hint } = await own.follow().failure('storage-unavailable');
      assert.match(message, /the server has written .* log of shop, and it is not there for Cairn/);
      assert.match(hint ?? '', /the same place/);
    }
  });

  it('has a gap when a file that is stored in part has other bytes', async () => {
    await begin();
    own.write('shop', 2);
    let pieces = 0;
    own.log.onStore = () => {
      if (++pieces === 3) throw new CairnError('storage-unavailable', 'the storage is away');
    };
    await own.follow().failure('storage-unavailable');
    own.log.onStore = () => undefined;
    const [name = ''] = await own.leftovers();
    await writeFile(join(own.scene.folder, name), Buffer.alloc(600_000, 0xff));
    const { message } = await own.follow().failure('log-gap');
    assert.match(message, /is not what is stored/);
  });

  it('tells the end of a file of which the end alone is not stored', async () => {
    await begin();
    own.write('shop', 2);
    const lost = await own.endAt('written L shop', () => own.scene.server.dropAll());
    await lost.failure('engine-unreachable');
    const following = own.follow();
    // All bytes of the file are on their way when the attempt ends.
    own.onStep = (step) => (step === 'remove' ? following.controller.abort() : undefined);
    await following.failure('cancelled');
    own.onStep = () => undefined;
    for (const [name, file] of own.log.files) {
      const isLast = name === [...own.log.files.keys()].at(-1);
      if (isLast) own.log.files.set(name, { ...file, isComplete: false });
    }
    const again = own.follow();
    await again.until('it is archived', () => own.isStored);
    await again.until('it is removed', async () => (await own.leftovers()).length === 0);
    await again.stop();
    own.assertWhole('shop', 'crm');
  });

  it('removes what is stored, and leaves the files of others alone', async () => {
    await begin();
    own.write('shop', 2);
    const lost = await own.endAt('remove', () => own.log.crash());
    lost.controller.abort();
    const theirs = `${exchangePrefix('other')}20261124t200000-0000000-0123456789abcdef.1of1.bak`;
    await writeFile(join(own.scene.folder, theirs), 'x');
    await releaseLog(own.scene.connection, keeperName, never, own.ground);
    assert.deepEqual(await own.leftovers(), []);
    const names = await readdir(own.scene.folder);
    assert.deepEqual(names.toSorted(), [theirs, 'crm.bak', 'shop.bak'].toSorted());
  });

  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`has a whole chain whatever dies on the way, seed ${seed}`, async () => {
      const random = mulberry32(seed);
      const pick = (count: number): number => Math.floor(random() * count);
      for (let attempt = 0; attempt < 12; attempt += 1) {
        own.write('shop', pick(20), pick(20));
        if (pick(2) === 0) own.write('crm', pick(20));
        const following = own.follow();
        let steps = 1 + pick(60);
        const dies = pick(3);
        const step = (): void => {
          if (pick(10) === 0) own.write('shop', pick(20));
          if (--steps !== 0) return;
          if (dies === 0) own.log.crash();
          if (dies === 2) own.scene.server.dropAll();
          else following.controller.abort();
        };
        own.onStep = step;
        own.log.onStore = async () => {
          await delay(pick(10));
          step();
        };
        await untilAborted(following.ended, deadlineSignal(20_000));
        const error = await following.ended;
        assert.ok(error instanceof CairnError && error.kind !== 'log-gap', inspect(error));
        own.onStep = () => undefined;
        own.log.onStore = () => undefined;
        if (dies !== 0) await own.log.settle();
        own.assertCovered();
      }
      const following = own.follow();
      await following.until('all is stored', () => own.isStored);
      await following.until('all is removed', async () => (await own.leftovers()).length === 0);
      await following.stop();
      own.assertWhole('shop', 'crm');
      own.assertCovered();
    });
  }
});
