// Stores one backup. Files are pushed in (`FileSink`), cut into batches of pages, compared in
// threads with the previous backup of the instance, and what is fresh goes into packs. Batches are
// settled in stream order, so that frames fill in stream order and one part of a map is built at a
// time for each open file. `commit` writes the manifest last.
//
//   write → Batcher → [prior digests] → thread: compare → settle → pending frame
//   settle → PartDraft → PartWriter            pending frame → thread: seal → PackWriter
import { randomBytes } from 'node:crypto';
import { assert } from '../model/assert.ts';
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Storage } from '../storage/storage.ts';
import { forgetAttempt, removeLeftovers, tidyCommitted } from './attempt-leftovers.ts';
import type { Batch, FileCursor } from './batch.ts';
import { Batcher } from './batch.ts';
import { BatchSettler } from './batch-settler.ts';
import { narrowTable } from './checkpoint.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { compareBatch } from './compare-batch.ts';
import { FileTable } from './file-table.ts';
import { BufferShelf, FlowGate } from './flow-gate.ts';
import type { ObjectSizes } from './format.ts';
import { backupFolder, checkpointsFolder, frameRawBytesMax } from './format.ts';
import { FrameFiller } from './frame-filler.ts';
import { GrowingFiles } from './growing-files.ts';
import { KeptPages } from './kept-pages.ts';
import type { DataKey } from './keys.ts';
import type { CommitParts } from './manifest-commit.ts';
import { commitManifest, createSizes } from './manifest-commit.ts';
import type { MapStore } from './map-store.ts';
import { MapWriter } from './map-writer.ts';
import { ObjectLists } from './object-lists.ts';
import { PackWriter } from './pack.ts';
import type { OpenFile } from './part-writer.ts';
import { openFile, PartWriter } from './part-writer.ts';
import type { PriorFiles } from './prior-files.ts';
import { PriorParts } from './prior-parts.ts';
import type {
  BackupFacts,
  CommittedBackup,
  GrowingFile,
  RepositoryReader,
  RepositoryWriter,
  StoredFile,
  StoredGrowingFile,
} from './repository.ts';
import type { ThreadPool } from './thread-pool.ts';

export type WriterParts = {
  readonly storage: Storage;
  readonly repositoryId: string;
  readonly pool: ThreadPool;
  readonly maps: MapStore;
  readonly dataKey: DataKey;
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  /** What pages are compared with: earlier attempts at this backup, then the previous backup. */
  readonly priors: PriorFiles;
  /** The previous backup among them; null when there is none that can be used. */
  readonly previous: RepositoryReader | null;
  /** Begin of this attempt. */
  readonly now: Date;
  /** Earlier attempts have left something that must go in the end. */
  readonly hasLeftovers: boolean;
  /** Packs that are not referred to any more. */
  readonly copyForward: ReadonlySet<string>;
  readonly level: number;
  readonly objectSizes: ObjectSizes;
  /** Whether the storage still holds what makes the backup readable: marker and data key. */
  readonly assertReadable: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

const batchesInFlightPerThread = 3;

export class BackupWriter implements RepositoryWriter {
  readonly #parts: WriterParts;
  readonly #folder: string;
  readonly #gate: FlowGate;
  readonly #shelf = new BufferShelf(frameRawBytesMax);
  readonly #batcher: Batcher<OpenFile>;
  readonly #packs: PackWriter;
  readonly #frames: FrameFiller;
  readonly #maps: MapWriter;
  readonly #table = new FileTable((entry) => this.#checkpoints.forget(entry));
  readonly #priorParts: PriorParts<OpenFile>;
  readonly #kept: KeptPages;
  readonly #checkpoints: CheckpointWriter;
  readonly #lists = new ObjectLists();
  readonly #partWriter: PartWriter;
  readonly #settler: BatchSettler;
  readonly #growing: GrowingFiles;
  #tail: Promise<void> = Promise.resolve();
  #open: FileCursor<OpenFile> | null = null;
  #hasIncrements = false;
  #done = false;
  /** The manifest was sent: even when the answer is lost, it may be there, or come later. */
  #mayBeCommitted = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    const { storage, pool, dataKey, level, signal } = parts;
    this.#gate = new FlowGate(4 + batchesInFlightPerThread * pool.threadCount);
    this.#batcher = new Batcher(this.#shelf, (batch) => this.#dispatch(batch));
    // Every attempt writes under names of its own: an object is never written twice (rule 1).
    this.#folder = backupFolder(parts.instanceId, parts.backupId);
    const attempt = randomBytes(6).toString('hex');
    this.#packs = new PackWriter({
      ...{ storage, pool, dataKey, level, signal },
      gate: this.#gate,
      shelf: this.#shelf,
      namePrefix: `${this.#folder}packs/${attempt}-`,
      targetBytes: parts.objectSizes.packBytes,
    });
    this.#frames = new FrameFiller(this.#packs, this.#shelf);
    this.#maps = new MapWriter({
      ...{ storage, dataKey, signal },
      namePrefix: `${this.#folder}maps/${attempt}-`,
      targetBytes: parts.objectSizes.mapsBytes,
    });
    this.#priorParts = new PriorParts(parts);
    this.#kept = new KeptPages(parts);
    this.#checkpoints = new CheckpointWriter({
      ...{ storage, dataKey, signal, log: parts.log, attemptAt: parts.now },
      namePrefix: `${checkpointsFolder(parts.instanceId, parts.backupId)}${attempt}-`,
      intervalBytes: parts.objectSizes.checkpointBytes,
    });
    this.#partWriter = new PartWriter({
      maps: this.#maps,
      lists: this.#lists,
      checkpoints: this.#checkpoints,
    });
    this.#settler = new BatchSettler({
      frames: this.#frames,
      packs: this.#packs,
      shelf: this.#shelf,
      partWriter: this.#partWriter,
    });
    this.#growing = new GrowingFiles({
      batcher: this.#batcher,
      table: this.#table,
      priors: parts.priors,
      append: (cursor, bytes) => this.#append(cursor, bytes),
    });
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Storage may hang: whoever waits for room is told at once. */
  readonly #onAbort = (): void => this.#gate.fail(this.#parts.signal.reason as Error);

  directory(meta: { readonly path: string; readonly mode: number }): void {
    this.#table.add({ type: 'directory', path: meta.path, mode: meta.mode });
  }

  get previous(): RepositoryReader | null {
    return this.#parts.previous;
  }

  get hasIncrements(): boolean {
    return this.#hasIncrements;
  }

  beginFile(meta: StoredFile): void {
    const priors = this.#parts.priors.find([meta.path], meta.pageSizeBytes);
    this.#begin(meta, { priors, isTrusting: false });
  }

  beginIncrement(meta: StoredFile): void {
    this.#hasIncrements = true;
    const prior = this.#parts.priors.findPrevious(meta.path);
    const isComparable = prior?.entry.page === meta.pageSizeBytes;
    this.#begin(meta, { priors: isComparable ? [prior] : [], isTrusting: true });
  }

  #begin(meta: StoredFile, compared: Pick<OpenFile, 'priors' | 'isTrusting'>): void {
    assert(this.#open === null && !this.#done, 'a file begins at the wrong moment');
    const file = openFile(meta, compared);
    this.#table.add(file.entry);
    this.#open = this.#batcher.beginFile(file, meta.pageSizeBytes, meta.sizeBytes);
  }

  write(bytes: Uint8Array): undefined | Promise<void> {
    assert(this.#open, 'bytes belong to no file');
    return this.#append(this.#open, bytes);
  }

  #append(cursor: FileCursor<OpenFile>, bytes: Uint8Array): undefined | Promise<void> {
    this.#parts.signal.throwIfAborted();
    this.#batcher.write(cursor, bytes);
    return this.#gate.room();
  }

  keep(sizeBytes: number): undefined | Promise<void> {
    this.#parts.signal.throwIfAborted();
    const cursor = this.#open;
    assert(cursor?.file.isTrusting, 'pages are kept outside an increment');
    const startBytes = cursor.doneBytes;
    const span = { startBytes, endBytes: startBytes + sizeBytes };
    const reading = this.#kept.keep(cursor.file.entry, span, {
      refer: (bytes) => this.#batcher.keep(cursor, bytes),
      write: (bytes) => this.#append(cursor, bytes),
    });
    return reading ?? this.#gate.room();
  }

  endFile(): void {
    assert(this.#open, 'no file to end');
    this.#batcher.endFile(this.#open);
    this.#open = null;
  }

  beginGrowing(meta: StoredGrowingFile): GrowingFile {
    assert(!this.#done, 'a file begins after the end');
    return this.#growing.begin(meta);
  }

  renameFile(path: string, newPath: string): boolean {
    return this.#table.rename(path, newPath);
  }

  removeFile(path: string): boolean {
    return this.#table.remove(path);
  }

  async commit(facts: BackupFacts): Promise<CommittedBackup> {
    const isOpen = this.#open !== null || this.#growing.openCount > 0;
    assert(!isOpen && !this.#done, 'commit at the wrong moment');
    this.#batcher.flush();
    await this.#tail;
    this.#gate.throwIfFailed();
    this.#frames.seal();
    this.#packs.end();
    await this.#gate.drained();
    await this.#maps.end();
    await this.#checkpoints.ended();
    const beforeCommit = async (): Promise<void> => {
      await facts.beforeCommit();
      this.#mayBeCommitted = true;
    };
    const named = this.#tableWithNames();
    const live = this.#partWriter.liveBytes(this.#table.grown);
    const committed = await commitManifest(
      { ...facts, beforeCommit },
      {
        ...this.#parts,
        earlier: () => this.#parts.priors.objects(),
        ...named,
        ownPacks: this.#packs.published,
        ownMaps: this.#maps.published,
        logicalBytes: this.#table.logicalBytes,
        newBytes: this.#settler.newBytes,
        liveOf: (name) => live.of(name),
      },
    );
    this.#done = true;
    await this.#cleanUp(new Set([...named.packNames, ...named.mapNames]), facts.beforeCommit);
    return committed;
  }

  /** Of what only files needed that were taken out, nothing is named. */
  #tableWithNames(): Pick<CommitParts, 'table' | 'packNames' | 'mapNames'> {
    const { packNames, mapNames } = this.#lists;
    const table = this.#table.entries;
    if (!this.#table.hasDropped) return { table, packNames, mapNames };
    const files = table.filter((entry) => entry.type === 'file');
    const narrow = narrowTable({ files, packNames, mapNames });
    const directories = table.filter((entry) => entry.type === 'directory');
    return { ...narrow, table: [...directories, ...narrow.files] };
  }

  async discard({ assertLease }: { readonly assertLease: () => Promise<void> }): Promise<void> {
    if (this.#done) return;
    await this.#stop();
    const parts = { ...this.#parts, folder: this.#folder, keep: new Set<string>(), assertLease };
    await this.#forget((signal) => removeLeftovers({ ...parts, signal }));
  }

  /**
   * Without a commit: forgets what is half written and deletes what nobody will ever name. What a
   * checkpoint names stays: another attempt may be using it already.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.signal.removeEventListener('abort', this.#onAbort);
    if (this.#done) return;
    await this.#stop();
    await this.#forget(async (signal) => {
      for (const { name } of [...this.#packs.published, ...this.#maps.published]) {
        if (!this.#checkpoints.isNamed(name)) await this.#parts.storage.delete(name, signal);
      }
    });
  }

  async #stop(): Promise<void> {
    this.#gate.fail(new CairnError('cancelled', 'the backup was given up'));
    await this.#tail;
    await this.#packs.abort();
    await this.#maps.end().catch(() => undefined);
    await this.#checkpoints.ended();
  }

  async #forget(remove: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (!this.#mayBeCommitted)
      await forgetAttempt({ ...this.#parts, folder: this.#folder }, remove);
  }

  /** The manifest is there: what it does not name is of no use any more. A prune gets the rest. */
  async #cleanUp(keep: ReadonlySet<string>, assertLease: () => Promise<void>): Promise<void> {
    const own = [...this.#packs.published, ...this.#maps.published];
    const isUnneeded = own.some(({ name }) => !keep.has(name));
    if (!this.#parts.hasLeftovers && !this.#checkpoints.hasAny && !isUnneeded) return;
    await tidyCommitted({ ...this.#parts, folder: this.#folder, keep, assertLease });
  }

  #dispatch(batch: Batch<OpenFile>): void {
    this.#gate.enter();
    const comparing = this.#priorParts.load(batch.segments).then(async (known) => {
      return { known, result: await compareBatch(batch, known, this.#parts.pool) };
    });
    comparing.catch(() => undefined);
    this.#tail = this.#tail.then(async () => {
      try {
        const { known, result } = await comparing;
        this.#gate.throwIfFailed();
        this.#settler.settle({ ...batch, buffer: result.buffer }, result, known);
        if (this.#checkpoints.isDue(this.#settler.newBytes)) this.#beginCheckpoint();
        this.#gate.leave();
      } catch (error) {
        this.#gate.fail(error as Error);
      }
    });
  }

  /** What was settled by now is published first, which closes pack and map object. */
  #beginCheckpoint(): void {
    this.#frames.seal();
    this.#packs.end();
    const stored = Promise.all([this.#packs.settled(), this.#maps.end()]).then(() => {
      this.#gate.throwIfFailed();
      const own = [...this.#packs.published, ...this.#maps.published];
      const sizesOf = createSizes(own, this.#parts.priors.objects());
      return { sizesOf, own: new Set(own.map(({ name }) => name)) };
    });
    const { packNames, mapNames } = this.#lists;
    this.#checkpoints.begin({ packNames, mapNames, storedBytes: this.#settler.newBytes }, stored);
  }
}
