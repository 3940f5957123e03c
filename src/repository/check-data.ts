// Reads packs as a restore would: every frame is authenticated and decompressed, every page that a
// file map names is compared with its digest. Each pack is read once, however many backups use it.
import { createHash } from 'node:crypto';
import { runBounded } from '../platform/bounded.ts';
import type { CheckParts, UsedPart } from './check-structure.ts';
import type { FrameWork } from './extract-plan.ts';
import { addFrameWork } from './extract-plan.ts';
import { damaged, digestBytes } from './format.ts';
import type { FileEntry } from './manifest.ts';
import { MapStore } from './map-store.ts';
import type { PageTake } from './pages.ts';
import { SealedObject } from './sealed-object.ts';
import type { ThreadPool } from './thread-pool.ts';

const framesPerThread = 2;

/**
 * A part of the packs, at least one, always the same for the same seed.
 * `percent`: 1 to 100.
 */
export function samplePacks(
  names: readonly string[],
  { percent, seed }: { readonly percent: number; readonly seed: string },
): ReadonlySet<string> {
  if (percent >= 100) return new Set(names);
  const rank = (name: string): string =>
    createHash('sha256').update(`${seed} ${name}`).digest('hex');
  const ranked = names.map((name) => ({ name, rank: rank(name) }));
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const count = Math.ceil((names.length * percent) / 100);
  return new Set(ranked.slice(0, count).map(({ name }) => name));
}

/** Which parts of file maps name a pack. Only of packs that are read. */
export class PackIndex {
  readonly #wanted: ReadonlySet<string>;
  readonly #parts = new Map<string, UsedPart[]>();

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  add(part: UsedPart, packs: readonly string[]): void {
    for (const pack of packs) {
      if (!this.#wanted.has(pack)) continue;
      const parts = this.#parts.get(pack);
      if (parts) parts.push(part);
      else this.#parts.set(pack, [part]);
    }
  }

  /** Packs that any part names. */
  get packs(): readonly string[] {
    return [...this.#parts.keys()];
  }

  partsOf(pack: string): readonly UsedPart[] {
    return this.#parts.get(pack) ?? [];
  }
}

export type DataParts = CheckParts & {
  readonly pool: ThreadPool;
  readonly index: PackIndex;
  readonly sizes: ReadonlyMap<string, number>;
  readonly onProgress: (doneBytes: number) => void;
};

/** Findings go to the book; it names no backups: who needs a pack is asked afterwards. */
export async function checkData(parts: DataParts): Promise<void> {
  const { findings, signal, index } = parts;
  const maps = new MapStore(parts.storage, parts.keys);
  for (const pack of index.packs) {
    signal.throwIfAborted();
    if (findings.has(pack)) continue;
    try {
      await checkPack(pack, maps, parts);
    } catch (error) {
      findings.note(error, pack, null);
    }
  }
}

async function checkPack(name: string, maps: MapStore, parts: DataParts): Promise<void> {
  const { storage, keys, pool, counts, signal } = parts;
  const sizeBytes = parts.sizes.get(name) ?? (await storage.stat(name, signal)).sizeBytes;
  const where = { name, kind: 'pack', sizeBytes } as const;
  const pack = await SealedObject.open({ storage, keys }, where, { whole: false, signal });
  const takes = await collectTakes(name, maps, parts);
  const frames = Array.from({ length: pack.frameCount }, (_, frame) => frame);
  await runBounded(frames, pool.threadCount * framesPerThread, async (frame) => {
    signal.throwIfAborted();
    const sealed = await pack.readSealed(frame, signal);
    const sealedBytes = sealed.byteLength;
    const wanted = takes.get(frame) ?? [];
    const task = { kind: 'take', sealed, name, key: pack.key, frame, takes: wanted } as const;
    await pool.run(task, [sealed.buffer as ArrayBuffer]);
    counts.framesRead++;
    counts.bytesRead += sealedBytes;
    counts.pagesCompared += wanted.reduce(
      (sum, take) => sum + take.digests.length / digestBytes,
      0,
    );
    parts.onProgress(counts.bytesRead);
  });
  counts.packsRead++;
}

/** What the file maps say of the pack's pages, by frame; what they agree on is there once. */
async function collectTakes(
  pack: string,
  maps: MapStore,
  { index, signal, findings }: DataParts,
): Promise<ReadonlyMap<number, readonly PageTake[]>> {
  const takes = new Map<number, PageTake[]>();
  const known = new Set<string>();
  for (const used of index.partsOf(pack)) {
    const { map, pageBytes, lengthBytes } = used;
    if (findings.has(map.name)) continue;
    const part = await maps.read({ maps: [map] }, { map: 0, frame: used.frame, packs: [] }, signal);
    const file = { size: lengthBytes, page: pageBytes } as FileEntry;
    const work = new Map<string, FrameWork<null>>();
    if (!addFrameWork({ file, partIndex: 0, target: null }, part, work)) {
      throw damaged(map.name, 'the file map does not fit its file');
    }
    for (const { packName, frame, writes } of work.values()) {
      if (packName !== pack) continue;
      const list = takes.get(frame) ?? [];
      takes.set(frame, list);
      for (const { offsetBytes, lengthBytes: bytes, digests } of writes) {
        const key = `${frame} ${offsetBytes} ${bytes} ${Buffer.from(digests).toString('latin1')}`;
        if (known.has(key)) continue;
        known.add(key);
        list.push({ offsetBytes, lengthBytes: bytes, pageBytes, digests });
      }
    }
  }
  return takes;
}
