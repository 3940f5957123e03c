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
import type { Batch, FileSegment } from './batch.ts';
import { Batcher } from './batch.ts';
import type { MapPart } from './file-map.ts';
import { BufferShelf, FlowGate } from './flow-gate.ts';
import {
  backupFolder,
  digestBytes,
  frameRawBytesMax,
  manifestObject,
  partPagesMax,
} from './format.ts';
import type { DataKey } from './keys.ts';
import type { FileEntry, Manifest, PartReference, TableEntry } from './manifest.ts';
import { commitManifest } from './manifest-commit.ts';
import type { MapStore } from './map-store.ts';
import { MapWriter } from './map-writer.ts';
import { isPresent } from './object-presence.ts';
import { PackWriter } from './pack.ts';
import { countPages, pageFates } from './pages.ts';
import { notePriors, PartDraft } from './part-draft.ts';
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
  /** The backup that pages are compared with; null for none. */
  readonly previous: Manifest | null;
  readonly level: number;
  /** Whether the storage still holds what makes the backup readable: marker and data key. */
  readonly assertReadable: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

type OpenFile = {
  readonly entry: FileEntry;
  readonly prior: FileEntry | null;
  priorPart: { readonly index: number; readonly part: MapPart | null } | null;
  draft: PartDraft | null;
};

type Segment = FileSegment<OpenFile>;
type PriorParts = ReadonlyMap<Segment, MapPart | null>;

const batchesInFlightPerThread = 3;

export class BackupWriter implements RepositoryWriter {
  readonly #parts: WriterParts;
  readonly #gate: FlowGate;
  readonly #shelf = new BufferShelf(frameRawBytesMax);
  readonly #batcher: Batcher<OpenFile>;
  readonly #packs: PackWriter;
  readonly #maps: MapWriter;
  readonly #table: TableEntry[] = [];
  readonly #priors: ReadonlyMap<string, FileEntry>;
  /** Objects that the manifest will list, with their place in its list. */
  readonly #packIndex = new Map<string, number>();
  readonly #mapIndex = new Map<string, number>();
  #frame: { readonly buffer: ArrayBuffer; used: number } | null = null;
  #tail: Promise<void> = Promise.resolve();
  #open: OpenFile | null = null;
  #logicalBytes = 0;
  #newBytes = 0;
  #done = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    const { storage, pool, dataKey, level, signal } = parts;
    this.#gate = new FlowGate(4 + batchesInFlightPerThread * pool.threadCount);
    this.#batcher = new Batcher(this.#shelf, (batch) => this.#dispatch(batch));
    this.#priors = new Map(parts.previous?.files.map((file) => [file.path, file]));
    // Every attempt writes under names of its own: an object is never written twice (rule 1).
    const folder = backupFolder(parts.instanceId, parts.backupId);
    const attempt = randomBytes(6).toString('hex');
    this.#packs = new PackWriter({
      ...{ storage, pool, dataKey, level, signal },
      gate: this.#gate,
      shelf: this.#shelf,
      namePrefix: `${folder}packs/${attempt}-`,
    });
    const namePrefix = `${folder}maps/${attempt}-`;
    this.#maps = new MapWriter({ storage, dataKey, namePrefix, signal });
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
    const prior = this.#priors.get(path) ?? null;
    const comparable = prior?.page === pageSizeBytes ? prior : null;
    this.#open = { entry, prior: comparable, priorPart: null, draft: null };
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
    const committed = await commitManifest(facts, {
      ...this.#parts,
      table: this.#table,
      packNames: [...this.#packIndex.keys()],
      mapNames: [...this.#mapIndex.keys()],
      ownPacks: this.#packs.published,
      ownMaps: this.#maps.published,
      logicalBytes: this.#logicalBytes,
      newBytes: this.#newBytes,
    });
    this.#done = true;
    return committed;
  }

  /** Without a commit: forgets what is half written and deletes what no manifest will ever name. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.signal.removeEventListener('abort', this.#onAbort);
    if (this.#done) return;
    this.#gate.fail(new CairnError('cancelled', 'the backup was given up'));
    await this.#tail;
    await this.#packs.abort();
    await this.#maps.end().catch(() => undefined);
    const { storage, log, instanceId, backupId } = this.#parts;
    const signal = AbortSignal.timeout(60_000);
    try {
      // An attempt that lost its lease after the manifest was written must not take the packs away
      // from it.
      if (await isPresent(storage, manifestObject(instanceId, backupId), signal)) return;
      for (const { name } of [...this.#packs.published, ...this.#maps.published]) {
        await storage.delete(name, signal);
      }
    } catch (err) {
      log.warn({ err }, 'could not delete the packs of a backup that was given up');
    }
  }

  #dispatch(batch: Batch<OpenFile>): void {
    this.#gate.enter();
    const comparing = this.#priorParts(batch).then(async (known) => {
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

  #priorQueue: Promise<unknown> = Promise.resolve();

  /**
   * What the previous backup has for each segment; loaded in stream order, one part of a file at a
   * time.
   */
  async #priorParts(batch: Batch<OpenFile>): Promise<PriorParts> {
    const loading = this.#priorQueue.then(async () => {
      const known = new Map<Segment, MapPart | null>();
      for (const segment of batch.segments) known.set(segment, await this.#priorPart(segment));
      return known;
    });
    this.#priorQueue = loading.catch(() => undefined);
    return await loading;
  }

  async #priorPart({ file, firstPage }: Segment): Promise<MapPart | null> {
    const index = Math.floor(firstPage / partPagesMax);
    const reference = file.prior?.parts[index];
    const { previous, maps, signal } = this.#parts;
    if (!reference || !previous) return null;
    if (file.priorPart?.index === index) return file.priorPart.part;
    const part = await maps
      .read(previous.header, reference, signal)
      .catch((err: unknown) => this.#withoutPrior(file, err));
    file.priorPart = { index, part };
    return part;
  }

  /** A damaged map costs storing the pages again, never the backup. */
  #withoutPrior(file: OpenFile, err: unknown): null {
    const tolerable =
      err instanceof CairnError && ['repository-damaged', 'not-found'].includes(err.kind);
    if (!tolerable) throw err;
    this.#parts.log.warn({ err, path: file.entry.path }, 'an earlier file map cannot be read');
    return null;
  }

  #settle(
    batch: Batch<OpenFile>,
    compared: { readonly fates: Uint8Array; readonly digests: Uint8Array },
    known: PriorParts,
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
    const prior = file.prior?.parts[index];
    if (draft.isUnchanged && prior) {
      file.entry.parts.push(this.#sharePart(prior));
      return;
    }
    const part = draft.build();
    const { name, frame } = this.#maps.add(part);
    const packs = part.packs.map((pack) => indexOf(this.#packIndex, pack));
    file.entry.parts.push({ map: indexOf(this.#mapIndex, name), frame, packs });
  }

  #sharePart(prior: PartReference): PartReference {
    const header = this.#parts.previous?.header;
    const map = header?.maps[prior.map];
    assert(header && map, 'the previous manifest has no such map object');
    const packs = prior.packs.map((pack) => {
      const object = header.packs[pack];
      assert(object, 'the previous manifest has no such pack');
      return indexOf(this.#packIndex, object.name);
    });
    return { map: indexOf(this.#mapIndex, map.name), frame: prior.frame, packs };
  }
}

function beginPart({ file, firstPage }: Segment, prior: MapPart | null): PartDraft {
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
