// Stores one backup. Files are pushed in (`FileSink`), cut into batches of pages, compared in
// threads with the previous backup of the instance, and what is fresh goes into packs. Batches are
// settled in stream order, so that frames fill in stream order and one file map is built at a time.
// `commit` writes the manifest last.
//
//   write → Batcher → [prior digests] → thread: compare → settle → pending frame
//   settle → PartDraft → MapWriter             pending frame → thread: seal → PackWriter
import { randomBytes } from 'node:crypto';
import { assert } from '../model/assert.ts';
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Storage } from '../storage/storage.ts';
import { forgetAttempt, removeLeftovers, tidyCommitted } from './attempt-leftovers.ts';
import type { Batch, FileSegment } from './batch.ts';
import { Batcher } from './batch.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import type { ComparedBatch, KnownParts } from './compare-batch.ts';
import { compareBatch } from './compare-batch.ts';
import { LiveBytes } from './copy-forward.ts';
import type { PageLocation } from './file-map.ts';
import { BufferShelf, FlowGate } from './flow-gate.ts';
import type { ObjectSizes } from './format.ts';
import {
  backupFolder,
  checkpointsFolder,
  digestBytes,
  frameRawBytesMax,
  partPagesMax,
} from './format.ts';
import { FrameFiller } from './frame-filler.ts';
import { KeptPages } from './kept-pages.ts';
import type { DataKey } from './keys.ts';
import type { FileEntry, TableEntry } from './manifest.ts';
import { commitManifest, createSizes } from './manifest-commit.ts';
import type { MapStore } from './map-store.ts';
import { MapWriter } from './map-writer.ts';
import { ObjectLists } from './object-lists.ts';
import { PackWriter } from './pack.ts';
import { countPages, pageFates } from './pages.ts';
import type { PriorMapPart } from './part-draft.ts';
import { PartDraft } from './part-draft.ts';
import type { PriorFiles } from './prior-files.ts';
import { findPriorPart } from './prior-files.ts';
import type { ComparedFile } from './prior-parts.ts';
import { PriorParts } from './prior-parts.ts';
import type {
  BackupFacts,
  CommittedBackup,
  RepositoryReader,
  RepositoryWriter,
  StoredFile,
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

type OpenFile = ComparedFile & { readonly entry: FileEntry; draft: PartDraft | null };

type Segment = FileSegment<OpenFile>;

type Settling = {
  readonly compared: ComparedBatch;
  /** The number of the segment's first page in the comparison. */
  readonly firstPage: number;
  /** The frame that the batch becomes as it stands; null when pages are collected. */
  readonly frame: Omit<PageLocation, 'offsetBytes'> | null;
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
  readonly #table: TableEntry[] = [];
  readonly #priorParts: PriorParts<OpenFile>;
  readonly #kept: KeptPages;
  readonly #checkpoints: CheckpointWriter;
  readonly #live = new LiveBytes();
  readonly #lists = new ObjectLists();
  #tail: Promise<void> = Promise.resolve();
  #open: OpenFile | null = null;
  #hasIncrements = false;
  #logicalBytes = 0;
  #newBytes = 0;
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
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Storage may hang: whoever waits for room is told at once. */
  readonly #onAbort = (): void => this.#gate.fail(this.#parts.signal.reason as Error);

  directory(meta: { readonly path: string; readonly mode: number }): void {
    this.#table.push({ type: 'directory', path: meta.path, mode: meta.mode });
  }

  get previous(): RepositoryReader | null {
    return this.#parts.previous;
  }

  get hasIncrements(): boolean {
    return this.#hasIncrements;
  }

  beginFile(meta: StoredFile): void {
    const priors = this.#parts.priors.find(meta.path, meta.pageSizeBytes);
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
    const { path, mode, sizeBytes, pageSizeBytes } = meta;
    const modified = meta.modifiedAt.getTime();
    const rest = { size: sizeBytes, mode, modified, page: pageSizeBytes, parts: [] };
    const entry: FileEntry = { type: 'file', path, ...rest };
    this.#open = { entry, ...compared, priorPart: null, draft: null };
    this.#logicalBytes += sizeBytes;
    this.#table.push(entry);
    this.#batcher.beginFile(this.#open, pageSizeBytes, sizeBytes);
  }

  write(bytes: Uint8Array): undefined | Promise<void> {
    this.#parts.signal.throwIfAborted();
    this.#batcher.write(bytes);
    return this.#gate.room();
  }

  keep(sizeBytes: number): undefined | Promise<void> {
    this.#parts.signal.throwIfAborted();
    assert(this.#open?.isTrusting, 'pages are kept outside an increment');
    const startBytes = this.#batcher.doneBytes;
    const span = { startBytes, endBytes: startBytes + sizeBytes };
    const reading = this.#kept.keep(this.#open.entry, span, {
      refer: (bytes) => this.#batcher.keep(bytes),
      write: (bytes) => this.write(bytes),
    });
    return reading ?? this.#gate.room();
  }

  endFile(): void {
    this.#batcher.endFile();
    this.#open = null;
  }

  async commit(facts: BackupFacts): Promise<CommittedBackup> {
    assert(this.#open === null && !this.#done, 'commit at the wrong moment');
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
    const committed = await commitManifest(
      { ...facts, beforeCommit },
      {
        ...this.#parts,
        earlier: () => this.#parts.priors.objects(),
        table: this.#table,
        packNames: this.#lists.packNames,
        mapNames: this.#lists.mapNames,
        ownPacks: this.#packs.published,
        ownMaps: this.#maps.published,
        logicalBytes: this.#logicalBytes,
        newBytes: this.#newBytes,
        liveOf: (name) => this.#live.of(name),
      },
    );
    this.#done = true;
    await this.#cleanUp(facts.beforeCommit);
    return committed;
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
  async #cleanUp(assertLease: () => Promise<void>): Promise<void> {
    const { hasLeftovers } = this.#parts;
    if (!hasLeftovers && !this.#checkpoints.hasAny) return;
    const keep = new Set([...this.#lists.packNames, ...this.#lists.mapNames]);
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
        this.#settle({ ...batch, buffer: result.buffer }, result, known);
        this.#gate.leave();
      } catch (error) {
        this.#gate.fail(error as Error);
      }
    });
  }

  #settle(batch: Batch<OpenFile>, compared: ComparedBatch, known: KnownParts<OpenFile>): void {
    const frame = this.#frames.takeOver(batch, compared.fates);
    let firstPage = 0;
    for (const segment of batch.segments) {
      const { file } = segment;
      file.draft ??= beginPart(segment, known.get(segment) ?? null);
      if (segment.kind === 'kept') file.draft.keep(countPages(segment));
      else {
        this.#settlePages(batch, { ...segment, draft: file.draft }, { compared, firstPage, frame });
        firstPage += countPages(segment);
      }
      if (segment.last || file.draft.pageCount === partPagesMax) this.#endPart(segment);
    }
    if (frame) this.#packs.add(batch.buffer, batch.lengthBytes);
    else this.#shelf.giveBack(batch.buffer);
    if (this.#checkpoints.isDue(this.#newBytes)) this.#beginCheckpoint();
  }

  #settlePages(
    { buffer }: Batch<OpenFile>,
    { draft, pageBytes, offsetBytes, lengthBytes }: Segment & { readonly draft: PartDraft },
    { compared, firstPage, frame }: Settling,
  ): void {
    const end = offsetBytes + lengthBytes;
    let page = firstPage;
    for (let at = offsetBytes; at < end; at += pageBytes, page++) {
      const fate = compared.fates[page];
      if (fate === pageFates.hole) draft.addHole();
      else if (fate === pageFates.same) draft.addSame();
      else {
        const length = Math.min(pageBytes, end - at);
        const place = frame
          ? { ...frame, offsetBytes: at }
          : this.#frames.add(new Uint8Array(buffer, at, length));
        draft.addFresh(place, compared.digests, page * digestBytes);
        this.#newBytes += length;
      }
    }
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
    this.#checkpoints.begin({ packNames, mapNames, storedBytes: this.#newBytes }, stored);
  }

  #endPart({ file, firstPage }: Segment): void {
    const draft = file.draft;
    assert(draft, 'no part to end');
    file.draft = null;
    const index = Math.floor(firstPage / partPagesMax);
    const prior = findPriorPart(file.priors, index);
    const { size, page } = file.entry;
    const { unchanged } = draft;
    const part = unchanged ?? draft.build();
    this.#live.add(part, page, size - index * partPagesMax * page);
    if (unchanged && prior) {
      file.entry.parts.push(this.#lists.share(prior));
      return;
    }
    file.entry.parts.push(this.#lists.refer(this.#maps.add(part), part.packs));
    this.#checkpoints.noteStored(file.entry);
  }
}

function beginPart({ file, firstPage }: Segment, prior: PriorMapPart | null): PartDraft {
  const { size, page } = file.entry;
  const pagesLeft = Math.ceil(size / page) - firstPage;
  return new PartDraft(prior, page, Math.min(partPagesMax, pagesLeft));
}
