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
import { LiveBytes } from './copy-forward.ts';
import { BufferShelf, FlowGate } from './flow-gate.ts';
import type { ObjectSizes } from './format.ts';
import {
  backupFolder,
  checkpointsFolder,
  digestBytes,
  frameRawBytesMax,
  partPagesMax,
} from './format.ts';
import type { DataKey } from './keys.ts';
import type { FileEntry, PartReference, TableEntry } from './manifest.ts';
import { commitManifest, createSizes } from './manifest-commit.ts';
import type { MapStore } from './map-store.ts';
import { MapWriter } from './map-writer.ts';
import { PackWriter } from './pack.ts';
import { countPages, pageFates } from './pages.ts';
import type { PriorMapPart } from './part-draft.ts';
import { notePriors, PartDraft } from './part-draft.ts';
import type { PriorFiles, PriorPart } from './prior-files.ts';
import { findPriorPart } from './prior-files.ts';
import type { ComparedFile } from './prior-parts.ts';
import { PriorParts } from './prior-parts.ts';
import type { BackupFacts, CommittedBackup, RepositoryWriter } from './repository.ts';
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
type KnownParts = ReadonlyMap<Segment, PriorMapPart | null>;

const batchesInFlightPerThread = 3;

export class BackupWriter implements RepositoryWriter {
  readonly #parts: WriterParts;
  readonly #folder: string;
  readonly #gate: FlowGate;
  readonly #shelf = new BufferShelf(frameRawBytesMax);
  readonly #batcher: Batcher<OpenFile>;
  readonly #packs: PackWriter;
  readonly #maps: MapWriter;
  readonly #table: TableEntry[] = [];
  readonly #priorParts: PriorParts<OpenFile>;
  readonly #checkpoints: CheckpointWriter;
  readonly #live = new LiveBytes();
  /** Objects that the manifest will list, with their place in its list. */
  readonly #packIndex = new Map<string, number>();
  readonly #mapIndex = new Map<string, number>();
  #frame: { readonly buffer: ArrayBuffer; used: number } | null = null;
  #tail: Promise<void> = Promise.resolve();
  #open: OpenFile | null = null;
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
    this.#maps = new MapWriter({
      ...{ storage, dataKey, signal },
      namePrefix: `${this.#folder}maps/${attempt}-`,
      targetBytes: parts.objectSizes.mapsBytes,
    });
    this.#priorParts = new PriorParts(parts);
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

  beginFile(meta: Parameters<RepositoryWriter['beginFile']>[0]): void {
    assert(this.#open === null && !this.#done, 'a file begins at the wrong moment');
    const { path, mode, sizeBytes, pageSizeBytes } = meta;
    const modified = meta.modifiedAt.getTime();
    const rest = { size: sizeBytes, mode, modified, page: pageSizeBytes, parts: [] };
    const entry: FileEntry = { type: 'file', path, ...rest };
    const priors = this.#parts.priors.find(path, pageSizeBytes);
    this.#open = { entry, priors, priorPart: null, draft: null };
    this.#logicalBytes += sizeBytes;
    this.#table.push(entry);
    this.#batcher.beginFile(this.#open, pageSizeBytes, sizeBytes);
  }

  write(bytes: Uint8Array): undefined | Promise<void> {
    this.#parts.signal.throwIfAborted();
    this.#batcher.write(bytes);
    return this.#gate.room();
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
    this.#sealFrame();
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
        packNames: [...this.#packIndex.keys()],
        mapNames: [...this.#mapIndex.keys()],
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
    const keep = new Set([...this.#packIndex.keys(), ...this.#mapIndex.keys()]);
    await tidyCommitted({ ...this.#parts, folder: this.#folder, keep, assertLease });
  }

  #dispatch(batch: Batch<OpenFile>): void {
    this.#gate.enter();
    const comparing = this.#priorParts.load(batch.segments).then(async (known) => {
      const pageCount = batch.segments.reduce((total, segment) => total + countPages(segment), 0);
      const notes = {
        priors: new Uint8Array(pageCount),
        digests: new Uint8Array(pageCount * digestBytes),
      };
      let at = 0;
      for (const segment of batch.segments) {
        const count = countPages(segment);
        const pages = { first: segment.firstPage % partPagesMax, count };
        notePriors(known.get(segment) ?? null, pages, { ...notes, at });
        at += count;
      }
      const segments = batch.segments.map(({ offsetBytes, lengthBytes, pageBytes }) => ({
        ...{ offsetBytes, lengthBytes, pageBytes },
      }));
      const task = { kind: 'compare', buffer: batch.buffer, segments, known: notes } as const;
      return { known, result: await this.#parts.pool.run(task, [batch.buffer]) };
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

  #settle(
    batch: Batch<OpenFile>,
    compared: { readonly fates: Uint8Array; readonly digests: Uint8Array },
    known: KnownParts,
  ): void {
    const takenOver = this.#takeOver(batch, compared.fates);
    let page = 0;
    for (const segment of batch.segments) {
      const { file, pageBytes } = segment;
      const end = segment.offsetBytes + segment.lengthBytes;
      file.draft ??= beginPart(segment, known.get(segment) ?? null);
      for (let at = segment.offsetBytes; at < end; at += pageBytes, page++) {
        const fate = compared.fates[page];
        if (fate === pageFates.hole) file.draft.addHole();
        else if (fate === pageFates.same) file.draft.addSame();
        else {
          const length = Math.min(pageBytes, end - at);
          const place = takenOver
            ? { ...this.#packs.next, offsetBytes: at }
            : this.#keepPage(new Uint8Array(batch.buffer, at, length));
          file.draft.addFresh(place, compared.digests, page * digestBytes);
          this.#newBytes += length;
        }
      }
      if (segment.last || file.draft.pageCount === partPagesMax) this.#endPart(segment);
    }
    if (takenOver) this.#packs.add(batch.buffer, batch.lengthBytes);
    else this.#shelf.giveBack(batch.buffer);
    if (this.#checkpoints.isDue(this.#newBytes)) this.#beginCheckpoint();
  }

  /** What was settled by now is published first, which closes pack and map object. */
  #beginCheckpoint(): void {
    this.#sealFrame();
    this.#packs.end();
    const stored = Promise.all([this.#packs.settled(), this.#maps.end()]).then(() => {
      this.#gate.throwIfFailed();
      const own = [...this.#packs.published, ...this.#maps.published];
      const sizesOf = createSizes(own, this.#parts.priors.objects());
      return { sizesOf, own: new Set(own.map(({ name }) => name)) };
    });
    const packNames = [...this.#packIndex.keys()];
    const mapNames = [...this.#mapIndex.keys()];
    this.#checkpoints.begin({ packNames, mapNames, storedBytes: this.#newBytes }, stored);
  }

  /** A large batch in which every page is fresh becomes a frame as it stands, without a copy. */
  #takeOver(batch: Batch<OpenFile>, fates: Uint8Array): boolean {
    const large = batch.lengthBytes >= frameRawBytesMax / 2;
    if (!large || !fates.every((fate) => fate === pageFates.fresh)) return false;
    this.#sealFrame();
    return true;
  }

  #keepPage(page: Uint8Array): { packName: string; frame: number; offsetBytes: number } {
    if (this.#frame && this.#frame.used + page.byteLength > frameRawBytesMax) this.#sealFrame();
    this.#frame ??= { buffer: this.#shelf.take(), used: 0 };
    const offsetBytes = this.#frame.used;
    new Uint8Array(this.#frame.buffer).set(page, offsetBytes);
    this.#frame.used += page.byteLength;
    return { ...this.#packs.next, offsetBytes };
  }

  #sealFrame(): void {
    if (this.#frame) this.#packs.add(this.#frame.buffer, this.#frame.used);
    this.#frame = null;
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
      file.entry.parts.push(this.#sharePart(prior));
      return;
    }
    const { name, frame } = this.#maps.add(part);
    const packs = part.packs.map((pack) => indexOf(this.#packIndex, pack));
    file.entry.parts.push({ map: indexOf(this.#mapIndex, name), frame, packs });
    this.#checkpoints.noteStored(file.entry);
  }

  #sharePart({ reference, header }: PriorPart): PartReference {
    const map = header.maps[reference.map];
    assert(map, 'the previous manifest has no such map object');
    const packs = reference.packs.map((pack) => {
      const object = header.packs[pack];
      assert(object, 'the previous manifest has no such pack');
      return indexOf(this.#packIndex, object.name);
    });
    return { map: indexOf(this.#mapIndex, map.name), frame: reference.frame, packs };
  }
}

function beginPart({ file, firstPage }: Segment, prior: PriorMapPart | null): PartDraft {
  const { size, page } = file.entry;
  const pagesLeft = Math.ceil(size / page) - firstPage;
  return new PartDraft(prior, page, Math.min(partPagesMax, pagesLeft));
}

function indexOf(index: Map<string, number>, name: string): number {
  const known = index.get(name);
  if (known !== undefined) return known;
  index.set(name, index.size);
  return index.size - 1;
}
