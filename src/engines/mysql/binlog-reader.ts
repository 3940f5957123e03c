// Reads the events of a stored binary log out of pieces of any size, in memory for one event and
// one piece.
import { CairnError } from '../../model/errors.ts';
import type { BinlogEvent, EventChecksum } from './binlog-event.ts';
import {
  binlogMagic,
  eventTypes,
  headerBytes,
  parseEvent,
  parseFormatDescription,
  readHeader,
} from './binlog-event.ts';

/**
 * An event and its place in the file. Its bytes are its own only until the next one is asked for.
 */
export type FileEvent = BinlogEvent & { readonly startBytes: number; readonly endBytes: number };

/** Larger ones no server writes: a packet has 1 GiB at most. */
export const eventBytesMax = 1.1 * 2 ** 30;

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * The events of one file from its beginning, checked. Where the file ends within an event, as one
 * does that is still being written, the last whole one is the last: whoever needs to know compares
 * its `endBytes` with the file's size. @throws repository-damaged naming the place; what the pieces
 * throw
 */
export async function* readEvents(chunks: Chunks, file: string): AsyncGenerator<FileEvent> {
  const gathered = new Gathered();
  let checksum: EventChecksum = 'none';
  let startBytes = 0;
  for await (const chunk of chunks) {
    gathered.add(chunk);
    if (startBytes === 0) {
      if (gathered.lengthBytes < binlogMagic.length) continue;
      const magic = gathered.take(binlogMagic.length);
      if (!Buffer.from(magic).equals(binlogMagic)) throw damaged(file, 0, 'its first bytes');
      startBytes = binlogMagic.length;
    }
    for (;;) {
      const sizeBytes = nextSize(gathered, file, startBytes);
      if (sizeBytes === null || gathered.lengthBytes < sizeBytes) break;
      const event = parseStored(gathered.take(sizeBytes), { file, startBytes, checksum });
      if (event.header.type === eventTypes.formatDescription) {
        checksum = parseFormatDescription(event).checksum;
      }
      yield { ...event, startBytes, endBytes: startBytes + sizeBytes };
      startBytes += sizeBytes;
    }
  }
}

/** Null until the header is there. */
function nextSize(gathered: Gathered, file: string, startBytes: number): number | null {
  if (gathered.lengthBytes < headerBytes) return null;
  const { sizeBytes, type, endOffset } = readHeader(gathered.peek(headerBytes));
  if (sizeBytes < headerBytes || sizeBytes > eventBytesMax) {
    throw damaged(file, startBytes, `an event of ${sizeBytes} bytes`);
  }
  // Or a size that is wrong would look like a file that is cut. A place of 0 says nothing.
  if (endOffset !== 0 && endOffset !== (startBytes + sizeBytes) % 2 ** 32) {
    throw damaged(file, startBytes, `an event of ${sizeBytes} bytes that ends at ${endOffset}`);
  }
  if (startBytes === binlogMagic.length && type !== eventTypes.formatDescription) {
    throw damaged(file, startBytes, 'no format description');
  }
  return sizeBytes;
}

function parseStored(
  bytes: Uint8Array,
  {
    file,
    startBytes,
    checksum,
  }: { readonly file: string; readonly startBytes: number; readonly checksum: EventChecksum },
): BinlogEvent {
  try {
    return parseEvent(bytes, checksum);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw damaged(file, startBytes, text, error);
  }
}

function damaged(file: string, startBytes: number, what: string, cause?: unknown): CairnError {
  const text = `binary log ${file} is damaged at ${startBytes}: ${what}`;
  return new CairnError('repository-damaged', text, { cause });
}

/** Pieces in a row, handed out joined; nothing is copied that lies within one piece. */
class Gathered {
  readonly #pieces: Uint8Array[] = [];
  lengthBytes = 0;

  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.lengthBytes += piece.length;
  }

  /** The next bytes, which must be there. */
  peek(count: number): Uint8Array {
    const [first] = this.#pieces;
    if (first && first.length >= count) return first.subarray(0, count);
    return this.#join(count);
  }

  take(count: number): Uint8Array {
    const taken = this.peek(count);
    this.lengthBytes -= count;
    for (let left = count; left > 0; ) {
      const first = this.#pieces[0] as Uint8Array;
      if (first.length > left) {
        this.#pieces[0] = first.subarray(left);
        break;
      }
      this.#pieces.shift();
      left -= first.length;
    }
    return taken;
  }

  #join(count: number): Uint8Array {
    const joined = new Uint8Array(count);
    let filled = 0;
    for (const piece of this.#pieces) {
      const part = piece.subarray(0, count - filled);
      joined.set(part, filled);
      filled += part.length;
      if (filled === count) break;
    }
    return joined;
  }
}
