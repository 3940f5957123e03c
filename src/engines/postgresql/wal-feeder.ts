// Reads planned files of log ahead of a server that recovers, into a spool folder from which the
// script of `wal-script.ts` takes them. Each is written under another name and renamed when it is
// whole. What the server takes, or waits for, says how far it has come; so many files behind that
// place are kept ready. A file that cannot be had ends the recovery: no server goes on without it.
import { chown, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CairnError } from '../../model/errors.ts';
import { toCairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import type { LogSource } from '../engine.ts';
import type { RecoveryFiles } from './recovery-files.ts';
import { readSegment } from './recovery-files.ts';
import { formatFetchScript, formatRestoreCommand, spoolFiles } from './wal-script.ts';

export type FeederOptions = {
  /** Of the server; the spool lies inside while the recovery lasts. */
  readonly homeDir: string;
  readonly files: RecoveryFiles;
  /** Null when no segment is planned. */
  readonly log: Pick<LogSource, 'readFile'> | null;
  /** The server's user. */
  readonly identity: Identity | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

const spoolBytesMax = 256 * MiB;
const spoolFilesMax = 16;
const readingBytesMax = 64 * MiB;
const readingFilesMax = 4;
const pollMs = 20;
const beatMs = 1000;
/** A worker that pauses for longer is as good as dead. */
const silenceSeconds = 30;
const scriptName = 'wal-fetch.sh';
const folderName = 'wal-spool';
const draftsName = 'drafts';

export class WalFeeder implements AsyncDisposable {
  readonly restoreCommand: string;
  readonly #options: FeederOptions;
  readonly #spoolDir: string;
  readonly #indexOf: ReadonlyMap<string, number>;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reading = new Map<string, Promise<void>>();
  readonly #ready = new Set<string>();
  #running: Promise<void> = Promise.resolve();
  #failure: CairnError | null = null;
  #at = -1;
  #movedAtMs: number;
  #beats = 0;

  private constructor(options: FeederOptions) {
    this.#options = options;
    this.#spoolDir = join(options.homeDir, folderName);
    this.restoreCommand = formatRestoreCommand(join(options.homeDir, scriptName));
    this.#indexOf = new Map(options.files.segments.map(({ name }, index) => [name, index]));
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
    this.#movedAtMs = options.clock.monotonicMs();
  }

  /** The first files are being read when it answers. */
  static async open(options: FeederOptions): Promise<WalFeeder> {
    const feeder = new WalFeeder(options);
    await feeder.#prepare();
    feeder.#running = feeder.#run();
    return feeder;
  }

  /** Why a planned file could not be had; null while all is well. */
  get failure(): CairnError | null {
    return this.#failure;
  }

  /** Bytes of planned log that the server has been through. */
  get doneBytes(): number {
    return Math.min((this.#at + 1) * this.#options.files.segmentBytes, this.totalBytes);
  }

  get totalBytes(): number {
    const { segments, segmentBytes } = this.#options.files;
    return segments.length * segmentBytes;
  }

  /** When the server last took or asked for something, by the monotonic clock. */
  get movedAtMs(): number {
    return this.#movedAtMs;
  }

  /** Ends the reading and removes the spool: call it when the server has no use for it any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.allSettled(this.#reading.values());
    await rm(this.#spoolDir, { recursive: true, force: true });
    await rm(join(this.#options.homeDir, scriptName), { force: true });
  }

  async #prepare(): Promise<void> {
    const { homeDir, files } = this.#options;
    const spool = this.#spoolDir;
    await rm(spool, { recursive: true, force: true });
    for (const folder of ['', draftsName, spoolFiles.ready, spoolFiles.asked]) {
      await mkdir(join(spool, folder), { mode: 0o700 });
      await this.#give(join(spool, folder));
    }
    const names = [...files.segments.map(({ name }) => name), ...Object.keys(files.histories)];
    const texts: readonly (readonly [string, string])[] = [
      [join(spool, spoolFiles.planned), names.map((name) => `${name}\n`).join('')],
      [join(spool, spoolFiles.alive), '0\n'],
      [join(homeDir, scriptName), formatFetchScript(spool, silenceSeconds)],
    ];
    for (const [path, text] of texts) {
      await writeFile(path, text, { mode: 0o600 });
      await this.#give(path);
    }
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    let beatAtMs = clock.monotonicMs();
    try {
      while (!this.#signal.aborted && this.#failure === null) {
        await this.#look();
        if (clock.monotonicMs() - beatAtMs >= beatMs) {
          beatAtMs = clock.monotonicMs();
          await writeFile(join(this.#spoolDir, spoolFiles.alive), `${++this.#beats}\n`);
        }
        await clock.sleep(pollMs, this.#signal);
      }
    } catch (error) {
      // When it is over nobody waits for anything any more.
      if (!this.#signal.aborted) await this.#fail(error);
    }
  }

  async #look(): Promise<void> {
    const there = new Set(await readdir(join(this.#spoolDir, spoolFiles.ready)));
    for (const name of this.#ready) {
      if (there.has(name)) continue;
      this.#ready.delete(name);
      this.#moveTo(name);
    }
    for (const name of await readdir(join(this.#spoolDir, spoolFiles.asked))) {
      // Its answer may just have been taken: then it is read once too often, and nothing else.
      await rm(join(this.#spoolDir, spoolFiles.asked, name), { force: true });
      this.#moveTo(name);
      if (!this.#ready.has(name)) this.#read(name);
    }
    this.#readAhead();
  }

  #moveTo(name: string): void {
    this.#movedAtMs = this.#options.clock.monotonicMs();
    this.#at = this.#indexOf.get(name) ?? this.#at;
  }

  #readAhead(): void {
    const { segments, segmentBytes } = this.#options.files;
    const atMost = (bytes: number, files: number): number =>
      Math.max(1, Math.min(files, Math.floor(bytes / segmentBytes)));
    const readingMax = atMost(readingBytesMax, readingFilesMax);
    const aheadMax = atMost(spoolBytesMax, spoolFilesMax);
    for (const { name } of segments.slice(this.#at + 1, this.#at + 1 + aheadMax)) {
      if (this.#reading.size >= readingMax) return;
      if (this.#ready.size + this.#reading.size >= aheadMax) return;
      if (!this.#ready.has(name)) this.#read(name);
    }
  }

  #read(name: string): void {
    if (this.#reading.has(name)) return;
    const reading = this.#deliver(name)
      .catch(async (error: unknown) => {
        if (!this.#signal.aborted) await this.#fail(error);
      })
      .finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
  }

  async #deliver(name: string): Promise<void> {
    const bytes = await this.#bytesOf(name);
    if (bytes === null) return;
    const draft = join(this.#spoolDir, draftsName, name);
    await rm(draft, { force: true });
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(bytes);
    const { identity } = this.#options;
    if (identity) await file.chown(identity.uid, identity.gid);
    await rename(draft, join(this.#spoolDir, spoolFiles.ready, name));
    if (this.#indexOf.has(name)) this.#ready.add(name);
  }

  /** Null: the script asks for planned names only. */
  async #bytesOf(name: string): Promise<Buffer | null> {
    const { files, log } = this.#options;
    const history = files.histories[name];
    if (history !== undefined) return Buffer.from(history, 'utf8');
    const segment = files.segments[this.#indexOf.get(name) ?? -1];
    if (!segment || !log) return null;
    return await readSegment(log, segment, files.segmentBytes, this.#signal);
  }

  /** First the mark that ends the recovery, then everything else. */
  async #fail(error: unknown): Promise<void> {
    this.#failure ??= toCairnError(error);
    await writeFile(join(this.#spoolDir, spoolFiles.failed), '').catch(() => {
      // Without the mark the script sees that nothing beats any more.
    });
  }

  async #give(path: string): Promise<void> {
    const { identity } = this.#options;
    if (identity) await chown(path, identity.uid, identity.gid);
  }
}
