// Restoring over an instance in a world where every step can be the last one of a worker: whatever
// happens, the old data stay until the new server has answered, and nobody is told otherwise.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import type { Job } from '../src/model/job.ts';
import { assertNew, assertOld, World } from './fixtures/in-place-world.ts';

const stepsMax = 40;

describe('a restore over an instance', () => {
  it('changes over once the copy is whole, and leaves one folder', async () => {
    await using world = await World.open();
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(world.homes().length, 1);
    assert.ok(world.calls.indexOf('end copy') < world.calls.lastIndexOf('stop'));
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(world.homes().length, 1);
  });

  it('comes to the same end when its worker dies at any step', async () => {
    let deaths = 0;
    for (const when of ['before', 'after'] as const) {
      for (let at = 0; at < stepsMax; at++) {
        await using world = await World.open();
        await world.request();
        const first = await world.attempt({ at, when });
        if (first?.status === 'succeeded') break;
        deaths++;
        assert.equal(first?.status, 'queued', `${at} ${when}`);
        assert.equal((await world.attempt())?.status, 'succeeded', `${at} ${when}`);
        await assertNew(world);
        assert.equal(world.homes().length, 1, `${at} ${when}`);
      }
    }
    assert.ok(deaths > 12, `${deaths} deaths`);
  });

  it('never says active of what does not run when every worker dies', async () => {
    const ends = new Set<string>();
    for (const when of ['before', 'after'] as const) {
      for (let at = 0; at < stepsMax; at++) {
        await using world = await World.open();
        await world.request();
        let job: Job | null = null;
        // What is left to do is less with every attempt, so the others die early.
        do job = await world.attempt({ at: job === null ? at : 1, when });
        while (job?.status === 'queued');
        const { state, managed } = await world.state();
        const label = `${at} ${when} ${state.status}`;
        if (state.status === 'active') {
          assert.ok(world.running.has(managed?.homeDir ?? ''), label);
        } else {
          assert.equal(state.status, 'failed', label);
          assert.equal(world.contentOf(world.target.managed?.homeDir ?? ''), 'old', label);
        }
        ends.add(`${job?.status} ${state.status}`);
      }
    }
    assert.ok(ends.has('failed active') && ends.has('failed failed'), [...ends].join());
  });

  it('starts the old server again when the new one does not start', async () => {
    await using world = await World.open();
    await world.request();
    world.refuses.add('new');
    const job = await world.attempt();
    assert.equal(job?.status, 'failed');
    assert.match(job?.error?.message ?? '', /new is bad/);
    await assertOld(world);
    assert.equal(world.homes().length, 1);
  });

  it('says failed when neither starts, keeps the old data, can be tried again', async () => {
    await using world = await World.open();
    await world.request();
    for (const content of ['new', 'old']) world.refuses.add(content);
    const job = await world.attempt();
    assert.equal(job?.status, 'failed');
    const { state, managed } = await world.state();
    assert.equal(state.status, 'failed');
    assert.match('reason' in state ? state.reason : '', /new is bad.*old is bad.*kept in/);
    assert.equal(world.contentOf(managed?.homeDir ?? ''), 'old');
    assert.equal(world.homes().length, 1, 'the copy is of no use to anybody');
    world.refuses.clear();
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(world.homes().length, 1);
  });

  it('leaves the old server alone when it is cancelled while copying', async () => {
    await using world = await World.open();
    await world.request();
    world.controller.abort(new CairnError('cancelled', 'cancelled on request'));
    assert.equal((await world.attempt())?.status, 'failed');
    await assertOld(world);
    assert.ok(!world.calls.includes('start'));
    assert.equal(world.homes().length, 1);
  });
});
