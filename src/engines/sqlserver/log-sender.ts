// Hands backups of the log from the exchange to the archive: what is known about each, then its
// bytes. Until it is stored, a file in the exchange is the only place where its log is, so it is
// removed when the storage has it to its end, and not a byte before.
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { advanceLogPosition, compareLogPositions } from '../../model/log-position.ts';
import type { LogResumePoint, LogSink } from '../engine.ts';
import type { Exchange, ExchangeFile } from './exchange.ts';
import type { OwnLog } from './log-history.ts';
import type { LogName } from './log-names.ts';
import { logFileName, sideFileName, toExchangeName } from './log-names.ts';
import { recordToJson } from './record-json.ts';
import type { StoredLog } from './stored-notes.ts';

export type LogSenderOptions = {
  readonly sink: LogSink;
  readonly exchange: Exchange;
  readonly keeperName: string;
  /** Once it has fired the sink gets nothing more. */
  readonly signal: AbortSignal;
};

/** What is stored of a file already: all before the offset. */
export type StoredPart = Pick<LogResumePoint, 'lastBytes'> & { readonly offsetBytes: number };

type Written = {
  readonly name: LogName;
  readonly end: LogPosition;
  /** The storage has to go beyond its end: that alone says that the end is stored as one. */
  readonly isEndSilent: boolean;
};

export class LogSender {
  readonly #options: LogSenderOptions;
  /** Not known to be stored yet, the oldest first. */
  #written: Written[] = [];
  #end: LogPosition;

  /** `end`: all before it is stored. */
  constructor(options: LogSenderOptions, end: LogPosition) {
    this.#options = options;
    this.#end = end;
  }

  /** Of all that has been written. */
  get end(): LogPosition {
    return this.#end;
  }

  get isAllStored(): boolean {
    const stored = this.#options.sink.storedPosition;
    const isStored = stored !== null && compareLogPositions(stored, this.#end) >= 0;
    return this.#written.length === 0 || isStored;
  }

  /** Bytes that lie in the exchange and not in the storage. */
  get behindBytes(): number {
    const stored = this.#options.sink.storedPosition;
    return this.#written.reduce((sum, { end }) => {
      if (stored === null || compareLogPositions(stored, end) < 0) {
        return sum + offsetOf(end) - (stored && isSameFile(stored, end) ? offsetOf(stored) : 0);
      }
      return sum;
    }, 0);
  }

  /**
   * Writes what is not stored of it into the sink. @throws log-gap when other bytes are stored;
   * storage-unavailable when the file cannot be read to its end; whatever the sink throws
   */
  async send(
    log: OwnLog,
    file: ExchangeFile,
    stored: StoredPart = { offsetBytes: 0 },
  ): Promise<void> {
    const { sink, signal } = this.#options;
    const { sizeBytes } = file;
    const { offsetBytes, lastBytes = new Uint8Array() } = stored;
    const startPosition = toPosition(log.name.moment);
    const end = advanceLogPosition(startPosition, sizeBytes);
    const isEndSilent = offsetBytes === sizeBytes;
    if (offsetBytes > sizeBytes) throw otherBytes(log, sizeBytes);
    if (offsetBytes === 0) await this.#sendSide(log, startPosition);
    await this.#compare(log, file, { offsetBytes, lastBytes });
    signal.throwIfAborted();
    sink.beginFile({
      ...{ name: logFileName(log.name), kind: 'log', startPosition, offsetBytes },
      // Of a file whose bytes are all stored only its end is missing, which has to be told as one.
      sizeBytes: isEndSilent ? null : sizeBytes,
    });
    if (!isEndSilent) await this.#pour(file.read(offsetBytes, signal));
    sink.endFile();
    this.#written.push({ name: log.name, end, isEndSilent });
    this.#end = end;
  }

  /** Takes out of the exchange what the storage has by now. */
  async removeStored(): Promise<void> {
    const { sink } = this.#options;
    for (let first = this.#written[0]; first; first = this.#written[0]) {
      const stored = sink.storedPosition;
      const beyond = stored === null ? -1 : compareLogPositions(stored, first.end);
      if (beyond < 0 || (beyond === 0 && first.isEndSilent)) return;
      await this.remove(first.name);
      this.#written.shift();
    }
  }

  async remove(name: LogName): Promise<void> {
    const { exchange, keeperName, signal } = this.#options;
    await exchange.remove(toExchangeName(keeperName, name), signal);
  }

  async #sendSide(log: OwnLog, startPosition: LogPosition): Promise<void> {
    const { sink, signal } = this.#options;
    signal.throwIfAborted();
    const bytes = Buffer.from(JSON.stringify(describe(log)));
    sink.beginFile({
      ...{ name: sideFileName(log.name), kind: 'side', startPosition },
      ...{ offsetBytes: 0, sizeBytes: bytes.byteLength },
    });
    await this.#write(bytes);
    sink.endFile();
  }

  async #pour(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of bytes) await this.#write(chunk);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const { sink, signal } = this.#options;
    signal.throwIfAborted();
    await sink.write(bytes);
    signal.throwIfAborted();
  }

  /** A server that was set back, and has gone on, has other bytes there. @throws log-gap */
  async #compare(log: OwnLog, file: ExchangeFile, stored: Required<StoredPart>): Promise<void> {
    const { offsetBytes, lastBytes } = stored;
    let at = 0;
    if (lastBytes.length === 0) return;
    for await (const chunk of file.read(offsetBytes - lastBytes.length, this.#options.signal)) {
      const own = lastBytes.subarray(at, at + chunk.length);
      if (!Buffer.from(chunk.subarray(0, own.length)).equals(own)) {
        throw otherBytes(log, offsetBytes);
      }
      at += own.length;
      if (at === lastBytes.length) return;
    }
  }
}

export function toPosition(moment: string): LogPosition {
  return { engine: 'sqlserver', moment, offsetBytes: 0 };
}

/** The same bytes whenever it is sent: the storage keeps the first, and refuses others. */
function describe({ record, encryptorThumbprint }: OwnLog): StoredLog {
  return { database: record.database, record: recordToJson(record), encryptorThumbprint };
}

function offsetOf(position: LogPosition): number {
  return position.engine === 'sqlserver' ? position.offsetBytes : 0;
}

function isSameFile(a: LogPosition, b: LogPosition): boolean {
  return a.engine === 'sqlserver' && b.engine === 'sqlserver' && a.moment === b.moment;
}

function otherBytes({ name, record }: OwnLog, atBytes: number): CairnError {
  const text = `${logFileName(name)}, log of ${record.database}, is not what is stored of it`;
  return new CairnError('log-gap', `${text}, at ${atBytes}`, {
    hint: 'the server was set back to an older state: the archive begins anew, with a full backup',
  });
}
