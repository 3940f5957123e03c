// The real repository and, beside it, what it should hold: for each backup, path → bytes. Every
// operation does the same to both; whatever the repository answers otherwise is a failure.
import assert from 'node:assert/strict';
import type { BackupId, InstanceId } from '../../src/model/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { readManifest } from '../../src/repository/backup-reader.ts';
import { backupFolder, instanceFolder, manifestObject } from '../../src/repository/format.ts';
import { KeyRing } from '../../src/repository/keys.ts';
import { logFolder } from '../../src/repository/log-names.ts';
import type { Repository, RepositoryWriter } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { pushInterleaved } from '../fixtures/growing-files.ts';
import { pushIncrement } from '../fixtures/increments.ts';
import {
  extractAll,
  never,
  openTestRepository,
  testBackupId,
  testFacts,
} from '../fixtures/repositories.ts';
import type { Fault } from './faulty-storage.ts';
import { FaultyStorage } from './faulty-storage.ts';
import type { ModelFolder } from './model-files.ts';
import { changeFolder } from './model-files.ts';
import { ModelLog } from './model-log.ts';
import type { Operation } from './operations.ts';
import { instanceCount } from './operations.ts';
import { Seeded } from './seeded.ts';

type Of<Kind extends Operation['kind']> = Extract<Operation, { kind: Kind }>;

type Instance = {
  readonly id: InstanceId;
  readonly folder: ModelFolder;
  readonly log: ModelLog;
  /** In the order of their commits. */
  readonly backups: Map<BackupId, ModelFolder>;
  /** Neither there nor to be seen: deleted, or never committed. */
  readonly gone: Set<BackupId>;
  /** A deletion of these was interrupted. */
  readonly dying: Set<BackupId>;
  /** The backup whose attempts have failed so far. */
  pending: BackupId | null;
};

const backupsMax = 8;
const operationTimeoutMs = 30_000;
const assertLease = async (): Promise<void> => undefined;
/** Small, so that a backup has several of each. */
const objectSizes = { packBytes: 24 * 1024, mapsBytes: 1024, checkpointBytes: 64 * 1024 };

export class World {
  readonly #objects = new MemoryStorage();
  readonly #masterKey = MasterKey.generate();
  readonly #instances: readonly Instance[] = Array.from({ length: instanceCount }, newInstance);
  #storage = new FaultyStorage(this.#objects);
  #repository: Repository | null = null;
  #backupCount = 0;

  /** @throws AssertionError when the repository is not what the model is */
  async apply(operation: Operation): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new assert.AssertionError({ message: 'it hangs' })),
      operationTimeoutMs,
    );
    try {
      await Promise.race([this.#perform(operation), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#repository?.[Symbol.asyncDispose]();
  }

  async #perform(operation: Operation): Promise<void> {
    const instance = this.#instances[operation.instance];
    assert.ok(instance);
    switch (operation.kind) {
      case 'change':
        return changeFolder(instance.folder, operation.change, new Seeded(operation.seed));
      case 'backup':
        if (instance.backups.size < backupsMax) return await this.#backUp(instance, operation);
        return await this.#delete(instance, { pick: operation.seed, fault: operation.fault });
      case 'delete':
        return await this.#delete(instance, operation);
      case 'prune':
        return await this.#prune(instance, operation);
      case 'restore':
        return await this.#restore(instance, operation);
      case 'log':
        return await this.#archive(instance, operation);
      case 'reopen':
        return await this.#reopen();
      case 'check':
        return await this.#checkAll();
    }
  }

  async #open(): Promise<Repository> {
    if (!this.#repository) {
      const opened = await openTestRepository(this.#storage, this.#masterKey, { objectSizes });
      this.#repository = opened.repository;
    }
    return this.#repository;
  }

  async #reopen(): Promise<void> {
    await this.#repository?.[Symbol.asyncDispose]();
    this.#repository = null;
    for (const { log } of this.#instances) log.forget();
    this.#storage = new FaultyStorage(this.#objects);
  }

  /**
   * Work that meets a fault may throw; without one it may not. A crash takes the process with it.
   */
  async #withFault<T>(fault: Fault | null, work: () => Promise<T>): Promise<T | 'failed'> {
    this.#storage.arm(fault);
    try {
      return await work();
    } catch (error) {
      if (!this.#storage.hasFired || error instanceof assert.AssertionError) throw error;
      return 'failed';
    } finally {
      await this.#storage.disarm();
      if (this.#storage.isDead) await this.#reopen();
    }
  }

  async #backUp(instance: Instance, operation: Of<'backup'>): Promise<void> {
    await this.#open();
    const id = (operation.again && instance.pending) || testBackupId(++this.#backupCount);
    const snapshot: ModelFolder = new Map(instance.folder);
    const outcome = await this.#withFault(operation.fault, () =>
      this.#attempt(instance, { ...operation, id, snapshot }),
    );
    // Whatever the attempt was told: a manifest is a backup, and no manifest is none.
    const isStored = this.#objects.objects.has(manifestObject(instance.id, id));
    if (outcome === 'committed') assert.ok(isStored, 'a committed backup has no manifest');
    if (outcome === 'given-up') assert.ok(!isStored, 'a backup given up has a manifest');
    if (instance.pending && instance.pending !== id) instance.gone.add(instance.pending);
    instance.pending = isStored || operation.isFinal ? null : id;
    if (isStored) instance.backups.set(id, snapshot);
    else if (operation.isFinal) instance.gone.add(id);
    if (outcome === 'given-up' && operation.isFinal && !operation.fault) {
      assert.deepEqual(this.#namesIn(instance, id), [], 'a failure for good leaves something');
    }
    if (outcome === 'committed' && !operation.fault) this.#assertNoCheckpoints(instance, id);
  }

  #assertNoCheckpoints(instance: Instance, id: BackupId): void {
    const left = this.#namesIn(instance, id).filter((name) => name.includes('/checkpoints/'));
    assert.deepEqual(left, [], 'checkpoints of a committed backup are left');
  }

  async #attempt(
    { id: instanceId, backups, gone }: Instance,
    attempt: Of<'backup'> & { readonly id: BackupId; readonly snapshot: ModelFolder },
  ): Promise<'committed' | 'given-up'> {
    const seeded = new Seeded(attempt.seed);
    const latest = [...backups.keys()].at(-1) ?? null;
    const others = [...backups.keys(), ...gone];
    const isOdd = seeded.isOneIn(8) && others.length > 0;
    const storage = this.#storage;
    const writer = await (await this.#open()).openWriter({
      ...{ instanceId, backupId: attempt.id },
      previousBackupId: isOdd ? seeded.pick(others) : latest,
      ...{ now: new Date(0), signal: never, log: silentLogger },
    });
    try {
      const kept = writer.previous ? backups.get(writer.previous.stored.backupId) : undefined;
      const folders = { now: attempt.snapshot, previous: kept ?? null };
      if (!(await pushFolder(writer, folders, attempt.filesMax, seeded))) {
        return 'given-up';
      }
      await writer.commit(testFacts());
      return 'committed';
    } finally {
      // A process that died disposes nothing.
      if (!storage.isDead && attempt.isFinal) await writer.discard({ assertLease });
      if (!storage.isDead) await writer[Symbol.asyncDispose]();
    }
  }

  async #delete(instance: Instance, { pick, fault }: Pick<Of<'delete'>, 'pick' | 'fault'>) {
    const { backups, gone, dying } = instance;
    const known = [...backups.keys(), ...dying, ...gone];
    const latest = [...backups.keys()].at(-1);
    const id = pick < 0 ? latest : known[pick % Math.max(1, known.length)];
    if (!id) return;
    const repository = await this.#open();
    backups.delete(id);
    gone.delete(id);
    dying.add(id);
    const options = { assertLease, signal: never };
    const outcome = await this.#withFault(fault, () =>
      repository.deleteBackup(instance.id, id, options),
    );
    if (outcome === 'failed') return;
    dying.delete(id);
    gone.add(id);
    // A manifest that could not be read whole keeps everything.
    if (!fault) await this.#assertNothingLeft(instance, id);
  }

  /** Of a deleted backup there is nothing left but what other backups need. */
  async #assertNothingLeft(instance: Instance, id: BackupId): Promise<void> {
    const needed = await this.#needed(instance);
    const left = this.#namesIn(instance, id).filter((name) => !needed.has(name));
    assert.deepEqual(left, [], 'objects of a deleted backup are left');
  }

  async #prune(instance: Instance, { fault }: Of<'prune'>): Promise<void> {
    const repository = await this.#open();
    const { id, pending } = instance;
    const now = new Date(0);
    const firstSeen = new Map([...this.#objects.objects.keys()].map((name) => [name, now]));
    const inFlight = new Set(pending ? [pending] : []);
    const outcome = await this.#withFault(fault, async () => {
      const knowledge = { inFlight, firstSeen, now, graceMs: 0 };
      const { remove } = await repository.surveyInstance(id, knowledge, never);
      await repository.removeUnneeded(id, remove, { assertLease, signal: never });
    });
    if (outcome === 'failed') return;
    const needed = await this.#needed(instance);
    for (const name of this.#objects.objects.keys()) {
      if (!name.startsWith(instanceFolder(id)) || name.endsWith('/manifest')) continue;
      if (name.startsWith(logFolder(id))) continue;
      const isKept = needed.has(name) || (pending && name.startsWith(backupFolder(id, pending)));
      assert.ok(isKept, `a prune leaves ${name}`);
    }
  }

  async #archive({ log }: Instance, { step, seed, fault }: Of<'log'>): Promise<void> {
    const repository = await this.#open();
    await this.#withFault(fault, () => log.apply(repository, step, seed));
  }

  /** What the manifests of the instance name. */
  async #needed(instance: Instance): Promise<ReadonlySet<string>> {
    const needed = new Set<string>();
    for (const other of this.#existing(instance)) {
      const name = manifestObject(instance.id, other);
      const keys = new KeyRing(this.#objects, this.#masterKey);
      const parts = { storage: this.#objects, keys };
      const { manifest } = await readManifest(parts, name, never);
      const { packs, maps } = manifest.header;
      for (const object of [...packs, ...maps]) needed.add(object.name);
    }
    return needed;
  }

  #namesIn(instance: Instance, id: BackupId): string[] {
    const folder = backupFolder(instance.id, id);
    return [...this.#objects.objects.keys()].filter((name) => name.startsWith(folder));
  }

  /** Also those whose deletion was interrupted before their manifest was gone. */
  #existing({ id, backups, dying }: Instance): BackupId[] {
    const ids = [...backups.keys(), ...dying];
    return ids.filter((backup) => this.#objects.objects.has(manifestObject(id, backup)));
  }

  async #restore(instance: Instance, { pick, fault }: Of<'restore'>): Promise<void> {
    const ids = [...instance.backups.keys()];
    const id = ids[pick % Math.max(1, ids.length)];
    await this.#open();
    if (id) await this.#withFault(fault, () => this.#assertRestores(instance, id));
  }

  async #checkAll(): Promise<void> {
    for (const instance of this.#instances) {
      for (const _ of instance.dying) {
        const pick = instance.backups.size;
        await this.#delete(instance, { pick, fault: null });
      }
      for (const id of instance.backups.keys()) await this.#assertRestores(instance, id);
      const repository = await this.#open();
      await instance.log.assertStored(repository);
      for (const id of instance.gone) {
        assert.equal(await repository.findBackup(instance.id, id, never), null, 'it is not gone');
      }
    }
  }

  async #assertRestores({ id: instanceId, backups }: Instance, id: BackupId): Promise<void> {
    const repository = await this.#open();
    const reader = await repository.openReader(instanceId, id, never);
    const found = await extractAll(reader);
    const expected = backups.get(id) ?? new Map();
    assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), 'other files');
    for (const [path, { bytes }] of expected) {
      assert.ok(found.get(path)?.equals(bytes), `${path} of backup ${id} is not what it was`);
    }
  }
}

function newInstance(_: unknown, number: number): Instance {
  const id = `${String(number + 1).padStart(32, '0')}in03` as InstanceId;
  const rest = {
    folder: new Map(),
    log: new ModelLog(id),
    backups: new Map(),
    gone: new Set<BackupId>(),
  };
  return { id, ...rest, dying: new Set(), pending: null };
}

/** Some of the files as increments, some growing. False when it was given up before the end. */
async function pushFolder(
  writer: RepositoryWriter,
  folders: { readonly now: ModelFolder; readonly previous: ModelFolder | null },
  filesMax: number | null,
  seeded: Seeded,
): Promise<boolean> {
  writer.directory({ path: 'base', mode: 0o700 });
  const growing: ModelFolder = new Map();
  let count = 0;
  for (const [path, file] of folders.now) {
    if (count++ === filesMax) return false;
    const { bytes, pageBytes } = file;
    const rest = { mode: 0o600, modifiedAt: new Date(0) };
    const meta = { path, sizeBytes: bytes.byteLength, pageSizeBytes: pageBytes, ...rest };
    if (folders.previous && seeded.isOneIn(2)) {
      const previous = folders.previous.get(path)?.bytes ?? null;
      await pushIncrement(writer, meta, { bytes, previous }, seeded);
      continue;
    }
    if (seeded.isOneIn(3)) {
      growing.set(path, file);
      continue;
    }
    writer.beginFile(meta);
    for (let at = 0; at < bytes.byteLength; ) {
      const chunkBytes = 1 + seeded.below(100_000);
      await writer.write(bytes.subarray(at, at + chunkBytes));
      at += chunkBytes;
    }
    writer.endFile();
  }
  await pushInterleaved(writer, growing, { seeded, manner: 'wild' });
  return filesMax === null;
}
