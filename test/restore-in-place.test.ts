// Restoring over an instance in a world where every step can be the last one of a worker: whatever
// happens, the old data stay until the new server has answered, and nobody is told otherwise.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { CatalogSession, Lease } from '../src/catalog/catalog.ts';
import type { EngineDriver } from '../src/engines/engine.ts';
import { endJob } from '../src/jobs/end-job.ts';
import type { JobContext } from '../src/jobs/job-kind.ts';
import { planAbandoned, planRetry } from '../src/jobs/retry.ts';
import { CairnError, toCairnError } from '../src/model/errors.ts';
import type { Instance } from '../src/model/instance.ts';
import type { Job } from '../src/model/job.ts';
import { Secret } from '../src/model/secret.ts';
import { createJobKinds } from '../src/operations/job-kinds.ts';
import { requestRestoreInPlace } from '../src/operations/restore/request-restore-in-place.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { systemRandom } from '../src/platform/random.ts';
import { completed, makeBackup, makeInstance } from './fixtures/catalog-values.ts';
import type { FreshCatalog } from './fixtures/catalogs.ts';
import { openFreshSqlite, testProjectId } from './fixtures/catalogs.ts';
import { ManualClock } from './fixtures/manual-clock.ts';

/** What a worker's calls do once it has died: nothing that anybody sees. */
class Dead extends Error {}

type Step = { readonly at: number; readonly when: 'before' | 'after' };

class World implements AsyncDisposable {
  readonly fresh: FreshCatalog;
  readonly clock: ManualClock;
  readonly serversDir: string;
  readonly target: Instance;
  /** Data folders that a server runs on. */
  readonly running = new Set<string>();
  readonly calls: string[] = [];
  /** Starts that fail, by what is in the folder. */
  readonly refuses = new Set<string>();
  controller = new AbortController();
  dies: Step | null = null;
  steps = 0;
  isDead = false;

  private constructor(fresh: FreshCatalog, clock: ManualClock, serversDir: string, it: Instance) {
    this.fresh = fresh;
    this.clock = clock;
    this.serversDir = serversDir;
    this.target = it;
  }

  static async open(): Promise<World> {
    const clock = new ManualClock();
    const fresh = await openFreshSqlite({ clock });
    const serversDir = await mkdtemp(join(tmpdir(), 'cairn-in-place-'));
    const made = makeInstance({});
    const homeDir = join(serversDir, made.id);
    const managed = { homeDir, dataDir: join(homeDir, 'data'), binDir: '/bin' };
    const target = { ...made, managed };
    await fresh.catalog.instances.insert(target);
    const world = new World(fresh, clock, serversDir, target);
    await mkdir(homeDir);
    await writeFile(join(homeDir, 'content'), 'old');
    world.running.add(homeDir);
    return world;
  }

  async request(): Promise<void> {
    const { catalog } = this.fresh;
    const backup = makeBackup({ instanceId: this.target.id, state: completed(5) });
    await catalog.backups.insert(backup);
    const parts = { catalog, clock: this.clock, random: systemRandom, log: silentLogger };
    await requestRestoreInPlace(
      {
        ...parts,
        engines: { postgresql: this.driver as EngineDriver },
        instanceQuota: null,
        defaultPolicy: { kind: 'off' },
        secondStorage: null,
      },
      {
        projectId: testProjectId,
        sourceInstanceId: this.target.id,
        point: { kind: 'end-of-backup', backupId: backup.id },
        targetInstanceId: this.target.id,
      },
    );
  }

  /** One attempt, to its end or to the death of its worker. Null: there is nothing to do. */
  async attempt(dies: Step | null = null): Promise<Job | null> {
    const { catalog } = this.fresh;
    Object.assign(this, { dies, steps: 0, isDead: false });
    await this.clock.advance(100_000);
    const now = this.clock.now();
    const request = { owner: 'worker', pools: ['default'], conflicts: {}, now };
    const leaseExpiresAt = new Date(now.getTime() + 30_000);
    const job = await catalog.jobs.claim({ ...request, leaseExpiresAt });
    if (!job) return null;
    const lease = { jobId: job.id, owner: 'worker', fence: job.fence };
    const kind = this.kinds[job.kind as 'restore-in-place'];
    const parts = { catalog, clock: this.clock, log: silentLogger, retryDelayMs: 0 };
    const leased = { job, lease, kind };
    const outcome = await kind.run(job, this.#context(lease)).then(
      () => null,
      (error: unknown) => toCairnError(error),
    );
    if (this.isDead) await endJob(parts, leased, planAbandoned(job));
    else if (outcome === null) await endJob(parts, leased, { kind: 'succeed' });
    else await endJob(parts, leased, planRetry(job, outcome));
    return await catalog.jobs.find(testProjectId, job.id);
  }

  get kinds() {
    const repository = { openReader: async () => ({}) };
    const { fresh, serversDir, clock } = this;
    return createJobKinds({
      ...{ catalog: fresh.catalog, clock, random: systemRandom, serversDir },
      engines: { postgresql: this.driver as EngineDriver },
      repository: repository as never,
    });
  }

  async state(): Promise<Instance> {
    return await this.fresh.catalog.instances.get(testProjectId, this.target.id);
  }

  contentOf(homeDir: string): string | null {
    const path = join(homeDir, 'content');
    return existsSync(path) ? readFileSync(path, 'utf8') : null;
  }

  #context(lease: Lease): JobContext {
    const { catalog } = this.fresh;
    return {
      signal: this.controller.signal,
      log: silentLogger,
      progress: () => undefined,
      assertLease: async () => this.controller.signal.throwIfAborted(),
      commit: <T>(work: (tx: CatalogSession) => Promise<T>) =>
        this.#step('commit', () =>
          catalog.transaction(async (tx) => {
            await tx.jobs.assertLease(lease);
            return await work(tx);
          }),
        ),
    };
  }

  async #step<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.isDead) throw new Dead();
    const at = this.steps++;
    const isLast = this.dies?.at === at;
    if (isLast && this.dies?.when === 'before') this.isDead = true;
    if (this.isDead) throw new Dead();
    this.calls.push(name);
    const result = await work();
    if (isLast) this.isDead = true;
    if (this.isDead) throw new Dead();
    await this.#assertNothingLost();
    return result;
  }

  /** The rule that everything else is about. */
  async #assertNothingLost(): Promise<void> {
    const { managed } = await this.state();
    const home = managed?.homeDir ?? '';
    assert.notEqual(this.contentOf(home), null, 'the folder that the catalog names is gone');
    assert.notEqual(this.contentOf(home), 'half', 'the catalog names half a copy');
  }

  readonly driver: Partial<EngineDriver> = {
    findServerBinaries: async () => '/bin',
    canStartManaged: async ({ homeDir }) => {
      const content = this.contentOf(homeDir);
      return content !== null && content !== 'half';
    },
    stopManaged: ({ homeDir }) => this.#step('stop', async () => void this.running.delete(homeDir)),
    prepareRestored: async ({ homeDir, signal }) => {
      assert.ok(!existsSync(homeDir), 'something is there already');
      await this.#step('begin copy', async () => {
        await mkdir(homeDir);
        await writeFile(join(homeDir, 'content'), 'half');
      });
      signal.throwIfAborted();
      await this.#step('end copy', () => writeFile(join(homeDir, 'content'), 'new'));
      return { homeDir, dataDir: `${homeDir}/data`, binDir: '/bin' };
    },
    startManaged: (server, { connection, port }) =>
      this.#step('start', async () => {
        const content = this.contentOf(server.homeDir) ?? '';
        if (this.refuses.has(content)) throw new CairnError('engine-refused', `${content} is bad`);
        assert.deepEqual([...this.running], content === 'old' ? [...this.running] : []);
        this.running.add(server.homeDir);
        return {
          managed: server,
          connection: { ...connection, port, password: new Secret('x') },
          ...{ serverVersion: '18.1', systemIdentifier: '1' },
        };
      }),
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fresh[Symbol.asyncDispose]();
    await rm(this.serversDir, { recursive: true });
  }
}

const stepsMax = 40;

async function assertNew(world: World): Promise<void> {
  const { state, managed, connection } = await world.state();
  const home = managed?.homeDir ?? '';
  assert.deepEqual(state, { status: 'active' });
  assert.equal(world.contentOf(home), 'new');
  assert.deepEqual([...world.running], [home]);
  assert.equal(connection?.port, world.target.connection?.port);
}

async function assertOld(world: World): Promise<void> {
  const { state, managed } = await world.state();
  assert.deepEqual(state, { status: 'active' });
  assert.deepEqual(managed, world.target.managed);
  assert.equal(world.contentOf(managed?.homeDir ?? ''), 'old');
  assert.deepEqual([...world.running], [managed?.homeDir]);
}

describe('a restore over an instance', () => {
  it('changes over once the copy is whole, and leaves one folder', async () => {
    await using world = await World.open();
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(readdirSync(world.serversDir).length, 1);
    assert.ok(world.calls.indexOf('end copy') < world.calls.lastIndexOf('stop'));
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(readdirSync(world.serversDir).length, 1);
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
        assert.equal(readdirSync(world.serversDir).length, 1, `${at} ${when}`);
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
        do job = await world.attempt({ at, when });
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
    assert.equal(readdirSync(world.serversDir).length, 1);
  });

  it('says that it failed when neither starts, keeps both, and can be tried again', async () => {
    await using world = await World.open();
    await world.request();
    for (const content of ['new', 'old']) world.refuses.add(content);
    const job = await world.attempt();
    assert.equal(job?.status, 'failed');
    const { state, managed } = await world.state();
    assert.equal(state.status, 'failed');
    assert.match('reason' in state ? state.reason : '', /new is bad.*old is bad.*kept in/);
    assert.equal(world.contentOf(managed?.homeDir ?? ''), 'old');
    assert.equal(readdirSync(world.serversDir).length, 2);
    world.refuses.clear();
    await world.request();
    assert.equal((await world.attempt())?.status, 'succeeded');
    await assertNew(world);
    assert.equal(readdirSync(world.serversDir).length, 1);
  });

  it('leaves the old server alone when it is cancelled while copying', async () => {
    await using world = await World.open();
    await world.request();
    world.controller.abort(new CairnError('cancelled', 'cancelled on request'));
    assert.equal((await world.attempt())?.status, 'failed');
    await assertOld(world);
    assert.ok(!world.calls.includes('start'));
    assert.equal(readdirSync(world.serversDir).length, 1);
  });
});
