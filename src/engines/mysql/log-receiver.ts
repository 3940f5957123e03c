// Makes files of log of the events that the server sends, so that a file is byte for byte the
// server's own. (But for one bit: the server marks the file that it is writing, and clears the mark
// in what it sends.) What the storage holds already is compared where it can be, and left out.
import { CairnError } from '../../model/errors.ts';
import { describePlace } from '../../model/log-position.ts';
import { MiB } from '../../model/units.ts';
import type { LogSink } from '../engine.ts';
import type { LogClock } from '../log-clock.ts';
import { binlogMagic } from './binlog-event.ts';
import type { BinlogPosition, DumpStart } from './log-resume.ts';
import type { LogTrack, TrackStep } from './log-track.ts';

export type LogReceiverOptions = {
  readonly sink: LogSink;
  readonly clock: LogClock;
  readonly track: LogTrack;
  readonly start: Pick<DumpStart, 'storedBytes' | 'lastBytes' | 'isComplete'>;
  /** Begins the stream, with the beginning of its first file; null: it is begun. */
  readonly beginStream: ((position: BinlogPosition) => Promise<void>) | null;
  /** Once it has fired the sink gets nothing more. */
  readonly signal: AbortSignal;
};

const markBytes = MiB / 2;
const noBytes = new Uint8Array();

export class LogReceiver {
  readonly #options: LogReceiverOptions;
  #beginStream: LogReceiverOptions['beginStream'];
  /** Of the file that is being sent, all before it is stored already. */
  #storedBytes: number;
  /** The stored bytes right before. */
  #lastBytes: Uint8Array;
  /** It is stored to its end. */
  #isComplete: boolean;
  /** The beginning of a file, until it is known what lies before it. */
  #head: Uint8Array[] = [];
  #isBegun = false;
  #isWaiting = false;
  #isMarkDue = false;
  #unmarkedBytes = 0;

  constructor(options: LogReceiverOptions) {
    this.#options = options;
    this.#beginStream = options.beginStream;
    this.#storedBytes = options.start.storedBytes;
    this.#lastBytes = options.start.lastBytes;
    this.#isComplete = options.start.isComplete;
  }

  /**
   * One event, as a view. @throws log-gap when it is another log than the stored one;
   * engine-refused for what is no log; whatever the sink throws
   */
  take(bytes: Uint8Array): undefined | Promise<void> {
    this.#options.signal.throwIfAborted();
    const wait = this.#put(this.#options.track.take(bytes));
    if (!wait) return this.#markIfDue();
    this.#isWaiting = true;
    return wait.then(() => {
      this.#options.signal.throwIfAborted();
      this.#isWaiting = false;
      this.#markIfDue();
    });
  }

  /** Call every second, so that the sink learns how late it is while nothing is written. */
  tick(): void {
    this.#isMarkDue = true;
    if (!this.#isWaiting) this.#markIfDue();
  }

  /** Under load for so many bytes, else with every tick. */
  #markIfDue(): undefined {
    const isDue = this.#isMarkDue || this.#unmarkedBytes >= markBytes;
    if (!isDue || this.#head.length > 0) return;
    // Without a file nothing has been sent yet of what comes next.
    if (this.#isBegun || this.#isCaughtUp) this.#mark(this.#options.track.position);
  }

  /** All that is stored has been sent once more, as far as the server was asked for it. */
  get #isCaughtUp(): boolean {
    const { hasFollowed, position } = this.#options.track;
    return hasFollowed && this.#storedBytes > 0 && position.offsetBytes >= this.#storedBytes;
  }

  #put(step: TrackStep): undefined | Promise<void> {
    switch (step.kind) {
      case 'nothing':
        return undefined;
      case 'heartbeat':
        return this.#beginFile();
      case 'event':
        if (this.#isBegun || this.#storedBytes > 0) return this.#write(step.bytes, step.startBytes);
        this.#head.push(Uint8Array.from(step.bytes));
        return step.isHead ? undefined : this.#beginFile();
      case 'next-file': {
        const wait = this.#beginFile(step.start);
        return wait ? wait.then(() => this.#endFile(step)) : this.#endFile(step);
      }
    }
  }

  /** A new file, as far as it has come; nothing when none is to begin. */
  #beginFile(start = this.#options.track.fileStart): undefined | Promise<void> {
    if (this.#head.length === 0) return undefined;
    const bytes = Buffer.concat([binlogMagic, ...this.#head]);
    this.#head = [];
    const begin = this.#beginStream;
    if (!begin) return this.#writeFirst(start, bytes);
    this.#beginStream = null;
    return begin(start).then(() => {
      this.#options.signal.throwIfAborted();
      return this.#writeFirst(start, bytes);
    });
  }

  #writeFirst(start: BinlogPosition, bytes: Uint8Array): undefined | Promise<void> {
    this.#announce(start);
    this.#unmarkedBytes += bytes.length;
    return this.#options.sink.write(bytes);
  }

  #write(bytes: Uint8Array, startBytes: number): undefined | Promise<void> {
    const fresh = startBytes >= this.#storedBytes ? bytes : this.#compare(bytes, startBytes);
    if (fresh.length === 0) return undefined;
    if (this.#isComplete) throw this.#otherBytes(this.#storedBytes);
    if (!this.#isBegun) this.#announce(this.#options.track.fileStart);
    this.#unmarkedBytes += fresh.length;
    return this.#options.sink.write(fresh);
  }

  /** Answers what is not stored yet. @throws log-gap when the server has other bytes */
  #compare(bytes: Uint8Array, startBytes: number): Uint8Array {
    const lastStart = this.#storedBytes - this.#lastBytes.length;
    const from = Math.max(startBytes, lastStart);
    const to = Math.min(startBytes + bytes.length, this.#storedBytes);
    if (from < to) {
      const stored = this.#lastBytes.subarray(from - lastStart, to - lastStart);
      const sent = bytes.subarray(from - startBytes, to - startBytes);
      if (!Buffer.from(sent).equals(stored)) throw this.#otherBytes(from);
    }
    return bytes.subarray(Math.min(bytes.length, Math.max(0, this.#storedBytes - startBytes)));
  }

  #otherBytes(offset: number): CairnError {
    const { file } = this.#options.track.position;
    return new CairnError('log-gap', `the server's ${file} at ${offset} is not what is stored`, {
      hint: 'the server was reset, or set back to an older state: the archive begins anew',
    });
  }

  #announce(startPosition: BinlogPosition): void {
    this.#isBegun = true;
    this.#options.sink.beginFile({
      name: startPosition.file,
      kind: 'log',
      startPosition,
      offsetBytes: this.#storedBytes,
      sizeBytes: null,
    });
  }

  /** @throws log-gap when more of the file is stored than the server has */
  #endFile({ ended, start }: Extract<TrackStep, { kind: 'next-file' }>): undefined {
    if (ended.offsetBytes < this.#storedBytes) {
      const text = `the server's ${describePlace(ended)} is its end`;
      throw new CairnError('log-gap', `${text}, but ${this.#storedBytes} bytes of it are stored`, {
        hint: 'the server has lost log in a crash: sync_binlog = 1 prevents it; it begins anew',
      });
    }
    if (!this.#isComplete) {
      if (!this.#isBegun) this.#announce(start);
      this.#mark(ended);
      this.#options.sink.endFile();
    }
    this.#isBegun = false;
    this.#storedBytes = 0;
    this.#lastBytes = noBytes;
    this.#isComplete = false;
  }

  #mark(position: BinlogPosition): void {
    this.#unmarkedBytes = 0;
    this.#isMarkDue = false;
    const { sink, clock } = this.#options;
    sink.mark({ position, at: clock.provenAt(position) });
  }
}
