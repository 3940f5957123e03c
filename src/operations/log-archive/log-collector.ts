// What the server sends becomes pieces in the storage: a piece ends with its file, when it is full,
// or some seconds after its first byte. Pieces are stored one after another, so that whatever
// happens the storage holds the log up to one place without a hole: that place is what is confirmed
// to the server. At most two pieces wait besides the one that is being gathered. Files are made
// whole beside that: reading many pieces back takes a while, and new log must not wait for it.
import type { LogFileMeta, LogMark, LogSink, LogStreamFacts } from '../../engines/engine.ts';
import { assert } from '../../model/assert.ts';
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { advanceLogPosition, compareLogPositions } from '../../model/log-position.ts';
import type { LogPoint } from '../../model/log-stream.ts';
import { MiB } from '../../model/units.ts';
import type { Clock } from '../../platform/clock.ts';
import type { LogPiece, StoredLogPiece } from '../../repository/repository.ts';

export type CollectorLimits = {
  readonly pieceBytesMax: number;
  /** From the first byte of a piece to its being stored, without the time that storing takes. */
  readonly flushAfterMs: number;
  /** A complete file up to this size is stored once more as one piece, if it was in several. */
  readonly wholeBytesMax: number;
  /** So many pieces of a file that goes on are stored once more as one. */
  readonly piecesMax: number;
};

/** With the second that a mark lags behind and a second for storing it is five seconds. */
export const usualCollectorLimits: CollectorLimits = {
  pieceBytesMax: 16 * MiB,
  flushAfterMs: 1_500,
  wholeBytesMax: 64 * MiB,
  piecesMax: 512,
};

export type StoredSoFar = {
  readonly position: LogPosition;
  /** Of the file that it lies in. */
  readonly fileStart: LogPosition;
  readonly coveredUntil: Date | null;
  /** Of the file that goes on there, the last few bytes; none at the beginning of a file. */
  readonly lastBytes: Uint8Array;
};

export type CollectorOptions = {
  readonly clock: Clock;
  readonly limits: CollectorLimits;
  /** Everything before it is stored already, and covered until then; null: a new stream. */
  readonly resume: StoredSoFar | null;
  beginStream(facts: LogStreamFacts): Promise<void>;
  /** Takes the bytes over; durable when it answers. */
  store(piece: LogPiece, bytes: Uint8Array): Promise<StoredLogPiece>;
  /** Reads a file back, as far as the piece reaches, and stores it as this. Throws nothing. */
  storeWhole(whole: LogPiece): Promise<void>;
  onStored(piece: StoredLogPiece): void;
  /** Once; nothing is stored afterwards, and every call throws the same. */
  onFailure(error: unknown): void;
  /** Ends the timers: nothing is cut any more. */
  readonly signal: AbortSignal;
};

type OpenFile = { readonly meta: LogFileMeta; endBytes: number };
type Gathering = { readonly offsetBytes: number; buffer: Buffer; lengthBytes: number };

const waitingMax = 2;
/** What is beyond stays in its pieces, until the stream is taken up again. */
const wholesMax = 100;
const firstBufferBytes = 64 * 1024;
/** Enough to tell a server that was set back from the one that was followed. */
export const lastBytesMax = 8 * 1024;
const noBytes = new Uint8Array();

export class LogCollector implements LogSink {
  readonly #options: CollectorOptions;
  #file: OpenFile | null = null;
  #gathering: Gathering | null = null;
  /** What was committed by then has been written, by the server's clock. */
  #toldAt: Date | null = null;
  #storedPosition: LogPosition | null;
  /** The last that the driver has told. */
  #marked: LogPosition | null;
  #coveredUntil: Date | null;
  #lastBytes: Uint8Array;
  #fileStart: LogPosition | null;
  #pieceCount = 0;
  #tail: Promise<void> = Promise.resolve();
  #wholes: Promise<void> = Promise.resolve();
  #wholesWaiting = 0;
  #waiting = 0;
  #room: PromiseWithResolvers<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#storedPosition = options.resume?.position ?? null;
    this.#marked = this.#storedPosition;
    this.#coveredUntil = options.resume?.coveredUntil ?? null;
    this.#lastBytes = options.resume?.lastBytes ?? noBytes;
    this.#fileStart = options.resume?.fileStart ?? null;
  }

  get storedPosition(): LogPosition | null {
    return this.#storedPosition;
  }

  /** Null while nothing is stored, or the server has not said what time it is. */
  get covered(): LogPoint | null {
    const position = this.#storedPosition;
    const at = this.#coveredUntil;
    return position && at && { position, at };
  }

  /** What is stored right before the stored position, in the same file. */
  get lastBytes(): Uint8Array {
    return this.#lastBytes;
  }

  /** Where the file begins that the stored position lies in. */
  get fileStart(): LogPosition | null {
    return this.#fileStart;
  }

  get failure(): { readonly error: unknown } | null {
    return this.#failure;
  }

  async beginStream(facts: LogStreamFacts): Promise<void> {
    this.#assertUsable();
    await this.#options.beginStream(facts);
  }

  beginFile(meta: LogFileMeta): void {
    this.#assertUsable();
    // The last of an old timeline ends where the new one branches off: it is never complete.
    this.#cut({ isLast: false });
    this.#file = { meta, endBytes: meta.offsetBytes };
  }

  write(bytes: Uint8Array): undefined | Promise<void> {
    this.#assertUsable();
    for (let at = 0; at < bytes.byteLength; ) {
      const gathering = (this.#gathering ??= this.#beginPiece());
      at += this.#take(gathering, bytes.subarray(at));
      if (gathering.lengthBytes === this.#options.limits.pieceBytesMax) this.#cutFull();
    }
    return this.#waiting > waitingMax ? this.#untilRoom() : undefined;
  }

  mark({ position, at }: LogMark): void {
    this.#assertUsable();
    this.#marked = position;
    this.#toldAt = at ?? this.#toldAt;
    this.#coverIfIdle();
  }

  endFile(): void {
    this.#assertUsable();
    const { meta, endBytes } = this.#openFile();
    if (meta.sizeBytes !== null && meta.sizeBytes !== endBytes) {
      const text = `log file ${meta.name} ends after ${endBytes} of ${meta.sizeBytes} bytes`;
      throw new CairnError('bug', text);
    }
    if (!this.#gathering && meta.sizeBytes === null) this.#gathering = this.#beginPiece();
    this.#cut({ isLast: true });
    this.#file = null;
  }

  /** Files that lie in pieces, as one piece each; beside what is stored, and bounded. */
  makeWhole(wholes: readonly LogPiece[]): void {
    for (const whole of wholes.slice(0, wholesMax - this.#wholesWaiting)) {
      this.#wholesWaiting++;
      this.#wholes = this.#wholes.then(async () => {
        if (!this.#failure) await this.#options.storeWhole(whole);
        this.#wholesWaiting--;
      });
    }
  }

  /** Stores what is gathered and ends the file that is open: then a driver may begin anew. */
  async settle(): Promise<void> {
    if (!this.#failure) this.#cut({ isLast: false });
    this.#file = null;
    await this.#tail;
  }

  /** Nothing is written any more when it answers. */
  async close(): Promise<void> {
    await this.settle();
    await this.#wholes;
  }

  #openFile(): OpenFile {
    assert(this.#file !== null, 'log without a file');
    return this.#file;
  }

  #beginPiece(): Gathering {
    const buffer = Buffer.allocUnsafe(firstBufferBytes);
    const gathering: Gathering = { offsetBytes: this.#openFile().endBytes, buffer, lengthBytes: 0 };
    void this.#cutInTime(gathering);
    return gathering;
  }

  /** How many of the bytes it took. */
  #take(gathering: Gathering, bytes: Uint8Array): number {
    const { pieceBytesMax } = this.#options.limits;
    const count = Math.min(bytes.byteLength, pieceBytesMax - gathering.lengthBytes);
    const neededBytes = gathering.lengthBytes + count;
    if (neededBytes > gathering.buffer.byteLength) {
      const sizeBytes = Math.min(pieceBytesMax, Math.max(neededBytes, 2 * gathering.buffer.length));
      const larger = Buffer.allocUnsafe(sizeBytes);
      gathering.buffer.copy(larger, 0, 0, gathering.lengthBytes);
      gathering.buffer = larger;
    }
    gathering.buffer.set(bytes.subarray(0, count), gathering.lengthBytes);
    gathering.lengthBytes = neededBytes;
    this.#openFile().endBytes += count;
    return count;
  }

  async #cutInTime(gathering: Gathering): Promise<void> {
    const { clock, limits, signal } = this.#options;
    await clock.sleep(limits.flushAfterMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    if (this.#gathering === gathering && !this.#failure) this.#cutFull();
  }

  #cutFull(): void {
    const { meta, endBytes } = this.#openFile();
    this.#cut({ isLast: meta.sizeBytes === endBytes });
  }

  #cut({ isLast }: { readonly isLast: boolean }): void {
    const gathering = this.#gathering;
    if (!gathering) return;
    this.#gathering = null;
    const { meta, endBytes } = this.#openFile();
    const { offsetBytes, lengthBytes } = gathering;
    const { name, kind, startPosition } = meta;
    const isLog = kind === 'log';
    const piece: LogPiece = {
      ...{ offsetBytes, lengthBytes, isLast },
      file: { name, kind, startPosition },
      endPosition: isLog ? this.#placeOf(startPosition, endBytes) : startPosition,
      endAt: this.#toldAt ?? this.#coveredUntil ?? new Date(0),
    };
    const told = this.#toldAt;
    this.#enqueue(() => this.#store(piece, gathering.buffer.subarray(0, lengthBytes), told));
  }

  /** As the driver has told it, if it has: which transactions lie before, only it knows. */
  #placeOf(startPosition: LogPosition, endBytes: number): LogPosition {
    const position = advanceLogPosition(startPosition, endBytes);
    const marked = this.#marked;
    return marked && compareLogPositions(marked, position) === 0 ? marked : position;
  }

  async #store(piece: LogPiece, bytes: Uint8Array, told: Date | null): Promise<void> {
    const { limits, onStored, store } = this.#options;
    const lastBytes = piece.isLast ? noBytes : this.#endOf(piece, bytes);
    const stored = await store(piece, bytes);
    if (piece.file.kind === 'log') {
      this.#storedPosition = piece.endPosition;
      this.#lastBytes = lastBytes;
      this.#fileStart = piece.file.startPosition;
      this.#coveredUntil = told ?? this.#coveredUntil;
    }
    onStored(stored);
    this.#pieceCount = piece.offsetBytes === 0 ? 1 : this.#pieceCount + 1;
    const isCrowded = this.#pieceCount >= limits.piecesMax;
    if (isCrowded) this.#pieceCount = 1;
    const whole = piece.isLast || isCrowded ? planWhole(piece, limits) : null;
    if (whole) this.makeWhole([whole]);
  }

  /** Its last bytes, with those that are stored before a small one. */
  #endOf({ offsetBytes }: LogPiece, bytes: Uint8Array): Uint8Array {
    const before = offsetBytes === 0 ? noBytes : this.#lastBytes;
    return new Uint8Array(
      Buffer.concat([before, bytes.subarray(-lastBytesMax)]).subarray(-lastBytesMax),
    );
  }

  /** One after another. */
  #enqueue(work: () => Promise<void>): void {
    this.#waiting++;
    const run = async (): Promise<void> => {
      try {
        if (!this.#failure) await work();
      } catch (error) {
        this.#fail(error);
      }
      this.#waiting--;
      this.#coverIfIdle();
      if (this.#waiting <= waitingMax) this.#freeRoom();
    };
    this.#tail = this.#tail.then(run);
  }

  /** With nothing on its way, what the server said last is true of the storage. */
  #coverIfIdle(): void {
    const isIdle = this.#gathering === null && this.#waiting === 0 && !this.#failure;
    if (!isIdle || !this.#storedPosition) return;
    this.#coveredUntil = this.#toldAt ?? this.#coveredUntil;
    const marked = this.#marked;
    // It may have been cut before the mark came that says what lies before it.
    if (marked && compareLogPositions(marked, this.#storedPosition) === 0) {
      this.#storedPosition = marked;
    }
  }

  async #untilRoom(): Promise<void> {
    this.#room ??= Promise.withResolvers();
    await this.#room.promise;
    this.#assertUsable();
  }

  #freeRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#gathering = null;
    this.#freeRoom();
    this.#options.onFailure(error);
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/** The file from its beginning to the piece's end; null when it is one piece, or is too large. */
export function planWhole(
  piece: LogPiece,
  { wholeBytesMax }: Pick<CollectorLimits, 'wholeBytesMax'>,
): LogPiece | null {
  const lengthBytes = piece.offsetBytes + piece.lengthBytes;
  if (piece.offsetBytes === 0 || lengthBytes > wholeBytesMax) return null;
  const { file, isLast, endPosition, endAt } = piece;
  return { file, offsetBytes: 0, lengthBytes, isLast, endPosition, endAt };
}
