// The moment of a restore over an instance when one server is stopped and another started: who may
// interrupt it, whose servers are stopped, and what is said when it did not work.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertNew, assertOld, World } from './fixtures/in-place-world.ts';

/** Does something at the nth step of that name, once. */
function at(world: World, step: string, nth: number, act: () => Promise<void>): () => boolean {
  let seen = 0;
  let done = false;
  world.before = async (name) => {
    if (name !== step || done || ++seen < nth) return;
    done = true;
    await act();
  };
  return () => done;
}

async function failOnce(world: World): Promise<void> {
  await world.request();
  for (const content of ['new', 'old']) world.refuses.add(content);
  assert.equal((await world.attempt())?.status, 'failed');
  world.refuses.clear();
}

/** Every worker dies while the new server runs and the catalog does not know it. */
async function leaveServer(world: World): Promise<void> {
  await world.request();
  for (;;) {
    const starts = world.calls.filter((name) => name === 'start').length;
    const job = await world.attempt({ at: starts === 0 ? 6 : 2, when: 'after' });
    if (job?.status !== 'queued') break;
  }
}

describe('a cancel of a restore over an instance', () => {
  it('is heeded up to the moment before the old server is stopped', async () => {
    await using world = await World.open();
    await world.request();
    const isCancelled = at(world, 'end copy', 1, async () => void (await world.cancel()));
    const job = await world.attempt();
    assert.ok(isCancelled());
    assert.equal(job?.status, 'cancelled');
    await assertOld(world);
    assert.ok(!world.calls.includes('start'), 'no server was touched');
    assert.equal(world.homes().length, 1);
  });

  it('is refused from then on', async () => {
    await using world = await World.open();
    await world.request();
    const conflict = { kind: 'conflict', reason: 'job-not-cancellable' };
    const isRefused = at(world, 'start', 1, () => assert.rejects(world.cancel(), conflict));
    assert.equal((await world.attempt())?.status, 'succeeded');
    assert.ok(isRefused());
    await assertNew(world);
  });

  it('is refused while the job waits between two attempts', async () => {
    await using world = await World.open();
    await world.request();
    assert.equal((await world.attempt({ at: 5, when: 'after' }))?.status, 'queued');
    assert.equal((await world.state()).state.status, 'switching');
    await assert.rejects(world.cancel(), { reason: 'job-not-cancellable' });
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
  });
});

describe('a restore over an instance whose last one failed', () => {
  it('stops a server that the failed one has left on the port', async () => {
    await using world = await World.open();
    await leaveServer(world);
    assert.equal((await world.state()).state.status, 'failed');
    const [left] = world.running;
    assert.notEqual(left, undefined);
    assert.notEqual(left, world.target.managed?.homeDir);
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(world.homes().length, 1);
  });

  it('stops it as well before it starts the old one again', async () => {
    await using world = await World.open();
    await leaveServer(world);
    await world.request();
    at(world, 'start', 1, async () => {
      const home = await world.addHome('stray', 'strange');
      world.running.add(home);
      world.refuses.add('new');
    });
    assert.equal((await world.attempt())?.status, 'failed');
    await assertOld(world);
  });

  it('leaves it alone while the copy is not whole', async () => {
    await using world = await World.open();
    await leaveServer(world);
    const [left] = world.running;
    await world.request();
    at(world, 'end copy', 1, async () => assert.ok(world.running.has(left ?? '')));
    assert.equal((await world.attempt())?.status, 'succeeded');
  });

  it('does not say active when it is cancelled: nothing runs', async () => {
    for (const when of ['before it ran', 'while it copies']) {
      await using world = await World.open();
      await failOnce(world);
      const { state } = await world.state();
      await world.request();
      if (when === 'before it ran') assert.equal((await world.cancel()).status, 'cancelled');
      else {
        at(world, 'end copy', 1, async () => void (await world.cancel()));
        assert.equal((await world.attempt())?.status, 'cancelled');
      }
      assert.deepEqual((await world.state()).state, state, when);
    }
  });

  it('says active when the old server was brought back on the way', async () => {
    await using world = await World.open();
    await failOnce(world);
    await world.request();
    world.refuses.add('new');
    assert.equal((await world.attempt())?.status, 'failed');
    await assertOld(world);
  });

  it('keeps the disk to two copies, however often it fails', async () => {
    await using world = await World.open();
    for (let round = 0; round < 3; round++) {
      await failOnce(world);
      assert.equal(world.homes().length, 1, `round ${round}`);
    }
    await world.addHome('11111111', 'half');
    await world.addHome('22222222', 'new');
    await world.request();
    at(world, 'end copy', 1, async () => assert.equal(world.homes().length, 2));
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
  });
});

describe('an attempt that pauses for longer than its lease on its way back', () => {
  it('stops nothing of the attempt that took over', async () => {
    await using world = await World.open();
    await world.request();
    await world.addHome('stray', 'strange');
    world.running.add(join(world.serversDir, `${world.target.id}.stray`));
    world.refuses.add('new');
    let isBack = false;
    world.before = async (name) => {
      if (name === 'start') isBack = true;
      if (name !== 'stop' || !isBack) return;
      world.before = async () => undefined;
      world.refuses.clear();
      await world.takeOver();
      assert.equal((await world.attempt())?.status, 'succeeded');
    };
    await assert.rejects(world.attempt(), { kind: 'conflict' });
    await assertNew(world);
    assert.equal(world.homes().length, 1);
  });
});

describe('a server on another host', () => {
  it('is neither restored over nor forgotten', async () => {
    await using world = await World.open();
    const managed = world.target.managed;
    assert.ok(managed);
    const place = { serversId: 'of-the-other', host: 'db-host-2' };
    const elsewhere = { ...world.target, managed: { ...managed, place } };
    await world.fresh.catalog.instances.update(elsewhere);
    await world.request();
    let job = await world.attempt();
    for (; job?.status === 'queued'; job = await world.attempt());
    assert.equal(job?.status, 'failed');
    assert.match(job?.error?.message ?? '', /lives on host db-host-2 in .*not the folder here/);
    await world.remove();
    for (job = await world.attempt(); job?.status === 'queued'; job = await world.attempt());
    assert.equal(job?.status, 'failed');
    assert.match(job?.error?.message ?? '', /db-host-2/);
    assert.deepEqual((await world.state()).state, { status: 'active' });
    assert.deepEqual(
      world.calls.filter((name) => name !== 'commit'),
      [],
    );
    // The operator says that this host answers for it.
    await writeFile(join(world.serversDir, '.cairn-servers'), 'mine\nof-the-other\n');
    await world.remove();
    assert.equal((await world.attempt())?.status, 'succeeded');
    assert.deepEqual(world.homes(), []);
  });

  it('of before places were kept is here when its folder is', async () => {
    await using world = await World.open();
    const managed = { ...world.target.managed, homeDir: '/nowhere/home' } as never;
    await world.fresh.catalog.instances.update({ ...world.target, managed });
    await world.remove();
    let job = await world.attempt();
    for (; job?.status === 'queued'; job = await world.attempt());
    assert.match(job?.error?.message ?? '', /lives on another host in .nowhere.home/);
    await world.fresh.catalog.instances.update(world.target);
    await world.remove();
    assert.equal((await world.attempt())?.status, 'succeeded');
    assert.deepEqual(world.homes(), []);
  });

  it('is written down when a restore starts it', async () => {
    await using world = await World.open();
    await world.request();
    await world.attempt();
    const { managed } = await world.state();
    assert.match(managed?.place?.serversId ?? '', /^[0-9a-f]{32}$/);
    assert.notEqual(managed?.place?.host, '');
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    assert.deepEqual((await world.state()).managed?.place, managed?.place);
  });
});
