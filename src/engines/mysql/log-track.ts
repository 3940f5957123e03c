// Where a dump is in the log: which file, at which place, behind which transactions. Every event
// must be whole, and must begin where the one before ended; every file must follow the one before
// by its number, and must not begin behind transactions that were not sent. Stores nothing.
import { CairnError } from '../../model/errors.ts';
import type { GtidSet } from '../../model/gtid-set.ts';
import { coversGtidSet, formatGtidSet, isSameGtidSet } from '../../model/gtid-set.ts';
import { describePlace, isLogMissing } from '../../model/log-position.ts';
import type { BinlogEvent, EventChecksum } from './binlog-event.ts';
import {
  binlogMagic,
  eventFlags,
  eventTypes,
  parseArtificial,
  parseEvent,
  parseFormatDescription,
  parseRotate,
  readHeader,
} from './binlog-event.ts';
import { advanceByEvent, isSetBefore } from './binlog-gtid.ts';
import type { BinlogPosition } from './log-resume.ts';

export type TrackStart = {
  readonly file: string;
  /** Where the first event begins that is asked for. */
  readonly offsetBytes: number;
  /** What lies before the file, as far as it is known. */
  readonly setBefore: GtidSet | null;
  /** What is known to lie before all that is stored; there may be more. */
  readonly set: GtidSet | null;
  /** What comes must be the log of which some is stored. */
  readonly isResumed: boolean;
};

export type TrackStep =
  /** Nothing of any file. */
  | { readonly kind: 'nothing' }
  /** The server lives, and has nothing to send. */
  | { readonly kind: 'heartbeat' }
  | {
      readonly kind: 'event';
      readonly bytes: Uint8Array;
      readonly startBytes: number;
      /** Written at the beginning of a file, before any transaction. */
      readonly isHead: boolean;
    }
  /** What comes now is of the next file; `start` is the beginning of the one that has ended. */
  | {
      readonly kind: 'next-file';
      readonly ended: BinlogPosition;
      readonly start: BinlogPosition;
    };

const headTypes: readonly number[] = [
  ...[eventTypes.formatDescription, eventTypes.mariadbStartEncryption],
  ...[eventTypes.mariadbGtidList, eventTypes.previousGtids],
];
const newStreamHint = 'the archive begins anew, which needs a full backup';

export class LogTrack {
  readonly #isResumed: boolean;
  #file: string;
  #offset: number;
  #checksum: EventChecksum = 'none';
  #setBefore: GtidSet | null;
  /** What is known to lie before the offset. */
  #set: GtidSet | null;
  /** It is all that does: known from the head of the file on. */
  #isSetWhole = false;
  /** The first file of a stream that goes on. */
  #isFirstFile = true;
  #hasFollowed = false;

  constructor({ file, offsetBytes, setBefore, set, isResumed }: TrackStart) {
    this.#file = file;
    this.#offset = offsetBytes;
    this.#setBefore = setBefore;
    this.#set = set;
    this.#isResumed = isResumed;
  }

  /** All before it has come. */
  get position(): BinlogPosition {
    const gtidSet = this.#set && formatGtidSet(this.#set);
    return { engine: 'mysql', file: this.#file, offsetBytes: this.#offset, gtidSet };
  }

  /** Where the file begins that is being sent. */
  get fileStart(): BinlogPosition {
    const gtidSet = this.#setBefore && formatGtidSet(this.#setBefore);
    return { engine: 'mysql', file: this.#file, offsetBytes: 0, gtidSet };
  }

  /** Something has come that fits to what was there before. */
  get hasFollowed(): boolean {
    return this.#hasFollowed;
  }

  /** One event as the server sends it. @throws log-gap, engine-refused when it is none that fits */
  take(bytes: Uint8Array): TrackStep {
    const { type, flags } = readHeader(bytes);
    if (type === eventTypes.heartbeat || type === eventTypes.heartbeat2) {
      return { kind: 'heartbeat' };
    }
    if ((flags & eventFlags.artificial) !== 0) return this.#takeArtificial(bytes, type);
    const isFormat = type === eventTypes.formatDescription;
    const event = this.#parse(bytes);
    if (isFormat) this.#checksum = parseFormatDescription(event).checksum;
    // Behind the beginning of a file the server says once more what its format is.
    if (isFormat && this.#offset !== binlogMagic.length) return { kind: 'nothing' };
    this.#follow(event);
    const startBytes = this.#offset - bytes.length;
    return { kind: 'event', bytes, startBytes, isHead: headTypes.includes(type) };
  }

  #parse(bytes: Uint8Array): BinlogEvent {
    try {
      return parseEvent(bytes, this.#checksum);
    } catch (error) {
      throw this.#isStranger ? this.#otherLog(error) : error;
    }
  }

  #follow(event: BinlogEvent): void {
    const { sizeBytes, endOffset } = event.header;
    const endBytes = this.#offset + sizeBytes;
    if (endOffset !== endBytes % 2 ** 32) {
      if (this.#isStranger) throw this.#otherLog();
      const text = `the server sends an event that ends at ${endOffset} of ${this.#file}`;
      throw new CairnError('engine-refused', `${text}, where ${endBytes} is expected`, {
        hint: 'check that the connection leads to the server itself, not to another program',
      });
    }
    if (isSetBefore(event)) this.#takeSetBefore(advanceByEvent(null, event));
    else this.#set = advanceByEvent(this.#set, event);
    this.#offset = endBytes;
    this.#hasFollowed = true;
  }

  /** The head of a file tells what lies before it. */
  #takeSetBefore(told: GtidSet | null): void {
    const isStored = this.#isFirstFile && this.#isResumed;
    const known = isStored ? this.#setBefore : this.#isSetWhole ? this.#set : null;
    if (known && told && isStored && !isSameGtidSet(known, told)) throw this.#otherLog();
    // A transaction that a crash has cut, or a domain that was deleted, may be missing from it.
    if (known && told && !isStored && !coversGtidSet(known, told)) {
      const text = `${this.#file} begins behind ${formatGtidSet(told)}`;
      throw gap(`${text}, but no more than ${formatGtidSet(known) || 'nothing'} was sent`);
    }
    this.#setBefore = told;
    this.#set = told;
    this.#isSetWhole = true;
  }

  /** Names the file that is sent from now on; others mean nothing to us. */
  #takeArtificial(bytes: Uint8Array, type: number): TrackStep {
    if (type !== eventTypes.rotate) return { kind: 'nothing' };
    const { file } = parseRotate(parseArtificial(bytes));
    if (file === this.#file) return { kind: 'nothing' };
    const { position: ended, fileStart: start } = this;
    const next: BinlogPosition = { ...ended, file, offsetBytes: binlogMagic.length };
    if (isLogMissing(ended, next) || !isLater(file, this.#file)) {
      throw gap(`the server goes on with ${file} behind ${describePlace(ended)}`);
    }
    this.#file = file;
    this.#offset = binlogMagic.length;
    this.#setBefore = null;
    this.#isFirstFile = false;
    return { kind: 'next-file', ended, start };
  }

  /** Nobody knows yet whether this is the log that is stored. */
  get #isStranger(): boolean {
    return this.#isResumed && !this.#hasFollowed;
  }

  #otherLog(cause?: unknown): CairnError {
    const text = `the server's log around ${describePlace(this.position)} is not what is stored`;
    return new CairnError('log-gap', text, {
      hint: `the server was reset, or set back to an older state: ${newStreamHint}`,
      cause,
    });
  }
}

function isLater(file: string, than: string): boolean {
  return file.length > than.length || (file.length === than.length && file > than);
}

function gap(text: string): CairnError {
  return new CairnError('log-gap', text, { hint: newStreamHint });
}
