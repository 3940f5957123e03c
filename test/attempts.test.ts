// What a second attempt at a job may do to the work of the first one: take it over, never undo it.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Catalog } from '../src/catalog/catalog.ts';
import type { EngineDriver } from '../src/engines/engine.ts';
import type { JobContext } from '../src/jobs/job-kind.ts';
import type { Backup } from '../src/model/backup.ts';
import { CairnError, isErrorKind } from '../src/model/errors.ts';
import type { Instance } from '../src/model/instance.ts';
import type { Job } from '../src/model/job.ts';
import { MiB } from '../src/model/units.ts';
import { runBackup } from '../src/operations/backup/run-backup.ts';
import { runRestore } from '../src/operations/restore/run-restore.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Repository } from '../src/repository/repository.ts';
import type { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  pushFiles,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';
import { until } from './fixtures/until.ts';

const lostLease = (): CairnError => new CairnError('conflict', 'the lease has run out');
const backupId = testBackupId(1);
const { base } = testFacts();
const files: ModelFiles = new Map([
  ['base/1', Buffer.alloc(30_000, 1)],
  // A log file may be as large as 1 GiB; holes keep this one cheap.
  [base.lastLogFile, Buffer.concat([Buffer.alloc(20_000, 2), Buffer.alloc(65 * MiB)])],
]);

/** Only what the recipes touch; anything else fails the test by not being there. */
class Scene implements AsyncDisposable {
  readonly repository: Repository;
  readonly storage: MemoryStorage;
  readonly serversDir: string;
  readonly calls: string[] = [];
  target: Partial<Instance> = { id: testInstanceId, engine: 'postgresql' };
  backup: Partial<Backup> = {
    ...{ id: backupId, instanceId: testInstanceId, name: 'nightly', databases: [] },
    ...{ type: 'manual', description: '', startedAt: new Date(0), state: { status: 'building' } },
  };
  openJobs: readonly unknown[] = [];
  /** Answers of `assertLease`, first to last; afterwards the lease is held. */
  leases: (CairnError | null)[] = [];
  isFinal = false;
  /** While the server's files are being pushed. */
  meanwhile: () => Promise<void> = async () => undefined;

  private constructor(repository: Repository, storage: MemoryStorage, serversDir: string) {
    this.repository = repository;
    this.storage = storage;
    this.serversDir = serversDir;
    this.target = { ...this.target, connection: {} as never, state: { status: 'building' } };
  }

  static async open(): Promise<Scene> {
    const opened = await openTestRepository(undefined, undefined, {
      objectSizes: { checkpointBytes: 1 },
    });
    const { repository, storage } = opened;
    const folder = await mkdtemp(join(tmpdir(), 'cairn-attempts-'));
    return new Scene(repository, storage as MemoryStorage, folder);
  }

  get home(): string {
    return join(this.serversDir, testInstanceId);
  }

  async runRestore(): Promise<void> {
    const ids = { targetInstanceId: testInstanceId, sourceInstanceId: testInstanceId };
    await runRestore(
      { fence: 1, payload: { backupId, ...ids } } as never,
      this.#context(),
      this.#parts(),
    );
  }

  async runBackup(): Promise<void> {
    await runBackup({ payload: { backupId } } as unknown as Job, this.#context(), this.#parts());
  }

  #context(): JobContext {
    const assertLease = async (): Promise<void> => {
      const answer = this.leases.shift();
      if (answer) throw answer;
    };
    return {
      ...{ assertLease, signal: never, log: silentLogger, progress: () => undefined },
      isFinal: async () => this.isFinal,
      commit: async (work) => {
        await assertLease();
        return await work(this.#catalog());
      },
    };
  }

  #catalog(): Catalog {
    const catalog = {
      instances: {
        get: async () => this.target,
        find: async () => this.target,
        update: async () => void this.calls.push('instance active'),
      },
      backups: {
        get: async () => this.backup,
        findLatestCompleted: async () => null,
        setState: async () => void this.calls.push('backup completed'),
      },
      jobs: { listOpen: async () => this.openJobs },
    };
    return catalog as unknown as Catalog;
  }

  #parts(): Parameters<typeof runRestore>[2] {
    const driver: Partial<EngineDriver> = {
      findServerBinaries: async () => '/bin',
      stopManaged: async () => void this.calls.push('stop'),
      startRestored: async () => {
        this.calls.push('start');
        return { managed: {}, connection: {} } as never;
      },
      takeBaseBackup: async (_, { sink }) => {
        await pushFiles(sink as never, files);
        await this.meanwhile();
        return base;
      },
    };
    const { repository, serversDir } = this;
    const engines = { postgresql: driver as EngineDriver };
    const seams = { clock: systemClock, random: systemRandom };
    const logArchive = { isOn: false, intervalMs: null };
    const ground = { ...seams, pruneGraceMs: 86_400_000, secondStorage: null, logArchive };
    return { catalog: this.#catalog(), engines, repository, serversDir, ...ground };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.repository[Symbol.asyncDispose]();
    await rm(this.serversDir, { recursive: true });
  }
}

async function openRestoreScene(): Promise<Scene> {
  const scene = await Scene.open();
  await storeFiles(scene.repository, files, { backupId });
  await mkdir(scene.home);
  await writeFile(join(scene.home, 'rows'), 'written since the restore');
  return scene;
}

describe('a second attempt at a restore', () => {
  it('leaves a server alone that has been handed out', async () => {
    await using scene = await openRestoreScene();
    scene.target = { ...scene.target, state: { status: 'active' } };
    await scene.runRestore();
    assert.deepEqual(scene.calls, []);
    assert.deepEqual(await readdir(scene.home), ['rows']);
  });

  for (const held of [0, 1]) {
    it(`removes nothing once its lease is lost (after ${held} looks at it)`, async () => {
      await using scene = await openRestoreScene();
      scene.leases = [...Array<null>(held).fill(null), lostLease()];
      await assert.rejects(scene.runRestore(), (error) => isErrorKind(error, 'conflict'));
      assert.deepEqual(scene.calls, held === 0 ? [] : ['stop']);
      assert.deepEqual(await readdir(scene.home), ['rows']);
    });
  }

  it('stops its server when it may not register it, unless another attempt goes on', async () => {
    await using scene = await openRestoreScene();
    const ours = { status: 'running', fence: 1 };
    const attempts = {
      stop: [[], [ours]],
      leave: [[{ ...ours, status: 'queued' }], [{ ...ours, fence: 2 }]],
    };
    for (const [what, openJobs] of Object.entries(attempts)) {
      for (const jobs of openJobs) {
        scene.openJobs = jobs;
        scene.leases = [null, null, lostLease()];
        await assert.rejects(scene.runRestore(), (error) => isErrorKind(error, 'conflict'));
        const calls = ['stop', 'start', ...(what === 'stop' ? ['stop'] : [])];
        assert.deepEqual(scene.calls.splice(0), calls);
      }
    }
  });
});

describe('a second attempt at a backup', () => {
  it('leaves a backup alone that the catalog has already', async () => {
    await using scene = await Scene.open();
    scene.backup = { ...scene.backup, state: { status: 'deleting', endedAt: null } };
    await scene.runBackup();
    assert.deepEqual(scene.calls, []);
  });

  it('reads the last log back also for the manifest of an attempt that died', async () => {
    await using scene = await Scene.open();
    await storeFiles(scene.repository, files, { backupId });
    await scene.runBackup();
    assert.deepEqual(scene.calls.splice(0), ['backup completed']);
    const { objects } = scene.storage;
    const pack = [...objects.keys()].find((name) => name.includes('/packs/')) ?? '';
    objects.get(pack)?.fill(0, 100, 120);
    await assert.rejects(scene.runBackup(), (error) => isErrorKind(error, 'repository-damaged'));
    assert.deepEqual(scene.calls, []);
    assert.equal(await scene.repository.findBackup(testInstanceId, backupId, never), null);
  });

  it('finds what the one before has finished, and leaves nothing if it is the last', async () => {
    await using scene = await Scene.open();
    const names = (): string[] => [...scene.storage.objects.keys()];
    const hasPacks = (): boolean => names().some((name) => name.includes('/packs/'));
    scene.meanwhile = async () => {
      await until('a checkpoint is written', () =>
        names().some((name) => name.includes('/checkpoints/')),
      );
      throw new CairnError('engine-unreachable', 'the connection is gone');
    };
    await assert.rejects(scene.runBackup(), /connection is gone/);
    assert.ok(hasPacks());
    scene.isFinal = true;
    await assert.rejects(scene.runBackup(), /connection is gone/);
    assert.deepEqual(
      names().filter((name) => name.includes('/backups/')),
      [],
    );
  });

  it('takes over a manifest that a late attempt wrote before it', async () => {
    await using scene = await Scene.open();
    scene.meanwhile = async () => {
      await storeFiles(scene.repository, files, { backupId });
    };
    await scene.runBackup();
    assert.deepEqual(scene.calls, ['backup completed']);
  });
});
