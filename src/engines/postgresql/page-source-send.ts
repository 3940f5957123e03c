// Hands what was listed to the sink, in order: what is kept without reading it, the rest as the
// server's own base backup sends it. A file that has gone meanwhile is left out, one that has
// become shorter ends in zeros (the log has what is true), and a damaged page fails the backup.
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import type { Clock } from '../../platform/clock.ts';
import { untilAborted } from '../../platform/deadline.ts';
import type { FileMeta, FileSink } from '../engine.ts';
import type { PageCheck, PageMismatch } from './page-checksum.ts';
import { findBadPage } from './page-checksum.ts';
import type { ListedFile } from './page-source-list.ts';
import type { PageRequest, RangeStep } from './page-source-plan.ts';
import { hasFixedSize } from './page-source-plan.ts';
import type { PageLanes } from './page-source-read.ts';
import type { PageSession } from './page-source-session.ts';

export type SendOptions = {
  readonly sink: FileSink;
  readonly session: Pick<PageSession, 'readBytes'>;
  readonly blockSizeBytes: number;
  readonly segmentBlocks: number;
  /** Null: the server keeps no checksums. */
  readonly check: PageCheck | null;
  readonly fileMode: number;
  readonly onBytes: (sentBytes: number) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

export type SentFile = Pick<FileMeta, 'path' | 'sizeBytes' | 'modifiedAt'>;

const zeros = Buffer.alloc(MiB);
// A page that is being written while we read looks damaged until the write is complete.
const rereadsMax = 5;
const rereadPauseMs = 200;
const dataCorrupted = 'XX001';

export class PageSender {
  readonly #options: SendOptions;
  readonly #sent: SentFile[] = [];
  /** The file of the step before was not there: what else was asked of it is not used. */
  #isGone = false;
  #keptBytes = 0;
  #readBytes = 0;

  constructor(options: SendOptions) {
    this.#options = options;
  }

  get sent(): readonly SentFile[] {
    return this.#sent;
  }

  get totals(): { readonly keptBytes: number; readonly readBytes: number } {
    return { keptBytes: this.#keptBytes, readBytes: this.#readBytes };
  }

  /**
   * @throws engine-refused naming a damaged page, log-gap naming a file that must be whole and is
   * not; whatever the lanes and the sink throw
   */
  async sendFiles(
    lanes: Pick<PageLanes, 'read'>,
    requests: Iterable<PageRequest>,
    need: 'what-is-there' | 'whole-files' = 'what-is-there',
  ): Promise<void> {
    for await (const { request, contents } of lanes.read(requests)) {
      let row = 0;
      for (const step of request.steps) {
        this.#options.signal.throwIfAborted();
        if (step.kind === 'keep') await this.#keep(step.file);
        else {
          const content = contents[row++] ?? null;
          if (need === 'whole-files') assertWhole(step, content);
          await this.#sendRange(step, content);
        }
      }
    }
  }

  /** A file whose content is known. */
  async sendContent(path: string, content: Buffer, modifiedAt: Date): Promise<void> {
    this.#begin({ path, sizeBytes: content.length, modifiedAt });
    for (let at = 0; at < content.length; at += MiB) {
      await this.#write(content.subarray(at, at + MiB));
    }
    this.#options.sink.endFile();
  }

  async #keep(file: ListedFile): Promise<void> {
    const { sink, onBytes, signal } = this.#options;
    const entry = toEntry(file, file.sizeBytes);
    this.#sent.push(entry);
    sink.beginIncrement(this.#meta(entry));
    const wait = sink.keep(file.sizeBytes);
    if (wait) await untilAborted(wait, signal);
    sink.endFile();
    this.#keptBytes += file.sizeBytes;
    onBytes(file.sizeBytes);
  }

  async #sendRange(step: RangeStep, content: Buffer | null): Promise<void> {
    const { file, range } = step;
    if (step.isFirst) {
      this.#isGone = content === null;
      if (content) this.#begin(toEntry(file, startSize(file, content)));
    }
    if (this.#isGone) return;
    if (content) {
      await this.#verify(step, content);
      await this.#write(content);
    }
    const missingBytes = hasFixedSize(file) ? range.sizeBytes - (content?.length ?? 0) : 0;
    for (let left = missingBytes; left > 0; left -= zeros.length) {
      await this.#write(zeros.subarray(0, left));
    }
    if (step.isLast) this.#options.sink.endFile();
  }

  #begin(entry: SentFile): void {
    this.#sent.push(entry);
    this.#options.sink.beginFile(this.#meta(entry));
  }

  async #write(bytes: Buffer): Promise<void> {
    const { sink, onBytes, signal } = this.#options;
    const wait = sink.write(bytes);
    if (wait) await untilAborted(wait, signal);
    this.#readBytes += bytes.length;
    onBytes(bytes.length);
  }

  #meta(entry: SentFile): FileMeta {
    const { fileMode, blockSizeBytes } = this.#options;
    return { ...entry, mode: fileMode, pageSizeBytes: blockSizeBytes };
  }

  /** Replaces pages that were caught half-written. */
  async #verify({ file, range }: RangeStep, content: Buffer): Promise<void> {
    const { check, blockSizeBytes, segmentBlocks } = this.#options;
    if (!check || !file.relation) return;
    const segmentBlock = range.offsetBytes / blockSizeBytes;
    const firstBlock = file.relation.segment * segmentBlocks + segmentBlock;
    let bad = findBadPage(content, firstBlock, check);
    while (bad) {
      const at = bad.block * blockSizeBytes;
      const page = content.subarray(at, at + blockSizeBytes);
      const offsetBytes = range.offsetBytes + at;
      await this.#reread({
        path: file.path,
        offsetBytes,
        page,
        block: firstBlock + bad.block,
        bad,
      });
      bad = findBadPage(content, firstBlock, check, bad.block + 1);
    }
  }

  async #reread(damage: Damage): Promise<void> {
    const { session, check, clock, signal } = this.#options;
    const { path, offsetBytes, page, block } = damage;
    for (let attempt = 1; check && attempt <= rereadsMax; attempt++) {
      if (attempt > 1) await clock.sleep(rereadPauseMs, signal);
      const fresh = await session.readBytes(path, offsetBytes, page.length);
      // Cut off meanwhile.
      if (fresh === null || fresh.length < page.length) return void page.fill(0);
      fresh.copy(page);
      if (findBadPage(page, block, check) === null) return;
    }
    throw damaged(damage, this.#options.segmentBlocks);
  }
}

type Damage = {
  readonly path: string;
  readonly offsetBytes: number;
  readonly page: Buffer;
  /** Within the relation. */
  readonly block: number;
  readonly bad: PageMismatch;
};

function assertWhole({ file, range }: RangeStep, content: Buffer | null): void {
  const wantedBytes = Math.min(range.sizeBytes, file.sizeBytes - range.offsetBytes);
  if (content && content.length >= wantedBytes) return;
  throw new CairnError('log-gap', `the server removed ${file.path} before it was read`, {
    hint: 'take the backup again; raise max_slot_wal_keep_size when it happens again',
  });
}

function startSize(file: ListedFile, content: Buffer): number {
  return hasFixedSize(file) ? file.sizeBytes : content.length;
}

function toEntry(file: ListedFile, sizeBytes: number): SentFile {
  return { path: file.path, sizeBytes, modifiedAt: new Date(file.modifiedSeconds * 1000) };
}

function damaged({ path, block, bad }: Damage, segmentBlocks: number): CairnError {
  const text = `the server has damaged pages: ${path}, block ${block % segmentBlocks}`;
  return new CairnError('engine-refused', text, {
    hint: 'find the tables with pg_amcheck, and restore them from the last proven backup',
    details: { code: dataCorrupted, path, block, expected: bad.expected, found: bad.found },
  });
}
