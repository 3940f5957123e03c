// Takes the copy of one timeline apart and hands its bytes to the sink as WAL segments: views of
// the socket's buffer, cut at the segments' ends. Every message must begin where the last one
// ended: a hole is an error, never a shorter log. What the storage held before is compared first,
// where the caller brought its last bytes along.
import { CairnError } from '../../model/errors.ts';
import { formatLsn } from '../../model/log-position.ts';
import { MiB } from '../../model/units.ts';
import type { LogSink } from '../engine.ts';
import type { LogClock } from '../log-clock.ts';
import {
  keepaliveBytes,
  keepaliveKind,
  logDataHeaderBytes,
  logDataKind,
  readDataStart,
  wantsAnswer,
} from './log-messages.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { segmentFileName, segmentStart } from './log-position.ts';
import type { CopyReceiver } from './replication-stream.ts';

export type LogReceiverOptions = {
  readonly sink: LogSink;
  readonly clock: LogClock;
  readonly segmentBytes: number;
  /** The first byte that the sink gets. */
  readonly start: PostgresLogPosition;
  /** Where the timeline ends; null while the server writes it. */
  readonly endLsn: bigint | null;
  /** The stored bytes right before the start: the server sends them once more. */
  readonly lastBytes: Uint8Array;
  /** Once it has fired the sink gets nothing more. */
  readonly signal: AbortSignal;
  /** The copy begins, or the server wants to know how far we are. */
  readonly onAnswerWanted: () => void;
};

/** Under load the sink gets a mark for so many bytes, else with every tick. */
const markBytes = BigInt(MiB / 2);

export class LogReceiver implements CopyReceiver {
  readonly #options: LogReceiverOptions;
  readonly #timeline: number;
  /** All before it has come. */
  #lsn: bigint;
  #markedLsn: bigint | null = null;
  /** Bytes of `lastBytes` that have been compared. */
  #compared = 0;
  #fileEnd: bigint | null = null;
  #isWaiting = false;
  /** Of the message being received. */
  readonly #header = Buffer.alloc(logDataHeaderBytes);
  #headerFilled = 0;
  #headerBytes = 0;
  #left = 0;

  constructor(options: LogReceiverOptions) {
    this.#options = options;
    this.#timeline = options.start.timeline;
    this.#lsn = options.start.lsn - BigInt(options.lastBytes.length);
  }

  get position(): PostgresLogPosition {
    return { engine: 'postgresql', timeline: this.#timeline, lsn: this.#lsn };
  }

  begin(): void {
    this.#options.onAnswerWanted();
  }

  messageBegin(bodyBytes: number): void {
    this.#headerFilled = 0;
    this.#headerBytes = 0;
    this.#left = bodyBytes;
  }

  messagePiece(bytes: Buffer): undefined | Promise<void> {
    this.#left -= bytes.length;
    const data = this.#takeHeader(bytes);
    const wait = data.length > 0 ? this.#deliver(data) : undefined;
    if (!wait) return this.#messagePieceEnd();
    this.#isWaiting = true;
    return wait.then(() => {
      this.#isWaiting = false;
      return this.#messagePieceEnd();
    });
  }

  /** Call every second, so that the sink learns how late it is while nothing is written. */
  tick(): void {
    if (!this.#isWaiting && this.#compared === this.#options.lastBytes.length) this.#mark();
  }

  /**
   * Call when the server has ended the timeline. @throws engine-refused when it ended elsewhere
   * than the next one begins
   */
  end(forkLsn: bigint): void {
    if (this.#lsn !== forkLsn) {
      const ends = `timeline ${this.#timeline} ended at ${formatLsn(this.#lsn)}`;
      throw unexpected(`${ends} instead of ${formatLsn(forkLsn)}`);
    }
    this.tick();
  }

  /** Answers what of the piece is data of the log. */
  #takeHeader(bytes: Buffer): Buffer {
    if (this.#headerBytes === 0) this.#headerBytes = headerBytesOf(bytes[0] ?? 0);
    const missing = this.#headerBytes - this.#headerFilled;
    if (missing === 0) return bytes;
    const taken = Math.min(missing, bytes.length);
    bytes.copy(this.#header, this.#headerFilled, 0, taken);
    this.#headerFilled += taken;
    if (taken === missing && this.#header[0] === logDataKind) this.#checkStart();
    return bytes.subarray(taken);
  }

  #messagePieceEnd(): undefined {
    if (this.#left > 0) return;
    if (this.#headerFilled < this.#headerBytes) throw unexpected('a message that ends too soon');
    if (this.#header[0] === keepaliveKind) {
      if (wantsAnswer(this.#header)) this.#options.onAnswerWanted();
      return;
    }
    if (this.#markedLsn === null || this.#lsn - this.#markedLsn >= markBytes) this.tick();
  }

  #checkStart(): void {
    const start = readDataStart(this.#header);
    if (start === this.#lsn) return;
    throw unexpected(`log from ${formatLsn(start)}, where ${formatLsn(this.#lsn)} comes next`);
  }

  #deliver(data: Buffer): undefined | Promise<void> {
    if (this.#header[0] === keepaliveKind) throw unexpected('a keepalive with data');
    let rest = this.#compare(data);
    while (rest.length > 0) {
      const fileEnd = this.#fileEnd ?? this.#beginFile();
      const left = Number(fileEnd - this.#lsn);
      if (left <= 0) throw unexpected('log behind the end of its timeline');
      const piece = rest.subarray(0, left);
      rest = rest.subarray(piece.length);
      const wait = this.#options.sink.write(piece);
      if (wait) {
        const later = rest;
        return wait.then(() => {
          this.#options.signal.throwIfAborted();
          this.#advance(piece.length);
          return later.length > 0 ? this.#deliver(later) : undefined;
        });
      }
      this.#advance(piece.length);
    }
    return undefined;
  }

  /** @throws log-gap when the server has other bytes than those that are stored */
  #compare(data: Buffer): Buffer {
    const expected = this.#options.lastBytes.subarray(this.#compared);
    if (expected.length === 0) return data;
    const same = data.subarray(0, expected.length);
    if (!same.equals(expected.subarray(0, same.length))) {
      const before = formatLsn(this.#options.start.lsn);
      throw new CairnError('log-gap', `the server's log before ${before} is not what is stored`, {
        hint: 'the server was set back to an older state: the archive begins anew',
      });
    }
    this.#compared += same.length;
    this.#lsn += BigInt(same.length);
    return data.subarray(same.length);
  }

  #beginFile(): bigint {
    const { sink, segmentBytes, endLsn } = this.#options;
    const start = segmentStart(this.#lsn, segmentBytes);
    const segmentEnd = start + BigInt(segmentBytes);
    const end = endLsn !== null && endLsn < segmentEnd ? endLsn : segmentEnd;
    sink.beginFile({
      name: segmentFileName(this.position, segmentBytes),
      kind: 'log',
      startPosition: { ...this.position, lsn: start },
      offsetBytes: Number(this.#lsn - start),
      sizeBytes: Number(end - start),
    });
    this.#fileEnd = end;
    return end;
  }

  #advance(bytes: number): void {
    this.#lsn += BigInt(bytes);
    if (this.#lsn !== this.#fileEnd) return;
    this.#mark();
    this.#options.sink.endFile();
    this.#fileEnd = null;
  }

  #mark(): void {
    const { sink, clock } = this.#options;
    this.#markedLsn = this.#lsn;
    sink.mark({ position: this.position, at: clock.provenAt(this.position) });
  }
}

function headerBytesOf(kind: number): number {
  if (kind === logDataKind) return logDataHeaderBytes;
  if (kind === keepaliveKind) return keepaliveBytes;
  throw unexpected(`a message of kind ${kind}`);
}

function unexpected(what: string): CairnError {
  return new CairnError('engine-refused', `the server's log contains ${what}`, {
    hint: 'check that the connection leads to PostgreSQL itself, not to another program',
  });
}
