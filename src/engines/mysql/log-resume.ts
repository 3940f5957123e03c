// Where in its file a dump begins that goes on behind what is stored. The server sends from the
// beginning of an event only, and what is stored may end anywhere within one; so the stored end is
// searched for the beginning of an event, and what the server sends of the stored part is compared.
// Pure.
import type { LogPosition } from '../../model/log-position.ts';
import { binlogMagic, hasChecksum, headerBytes, readHeader } from './binlog-event.ts';

export type BinlogPosition = Extract<LogPosition, { readonly engine: 'mysql' }>;

export type DumpStart = {
  readonly file: string;
  /** What the server is asked for. */
  readonly offsetBytes: number;
  /** All before it is stored, and is not stored once more. */
  readonly storedBytes: number;
  /** Of these, the last ones that the server will send. */
  readonly lastBytes: Uint8Array;
  /** The file ends there: what comes next is the next one. */
  readonly isComplete: boolean;
};

/** A request has no room for more. */
const offsetMax = 2 ** 32 - 1;
const noBytes = new Uint8Array();

/** Of a file that goes on something is known of its stored end; of a complete one nothing is. */
export function planDumpStart(
  { file, offsetBytes: storedBytes }: BinlogPosition,
  lastBytes: Uint8Array = noBytes,
): DumpStart {
  const fromBytes = storedBytes - lastBytes.length;
  const isComplete = lastBytes.length === 0 && storedBytes > 0;
  const at = isComplete ? 0 : findEventStart(lastBytes, fromBytes);
  if (at === null || fromBytes + at > offsetMax) {
    return { file, offsetBytes: binlogMagic.length, storedBytes, lastBytes, isComplete };
  }
  const known = lastBytes.subarray(at);
  return { file, offsetBytes: fromBytes + at, storedBytes, lastBytes: known, isComplete };
}

/** With the beginning of a file. */
export function planFileStart(file: string): DumpStart {
  const [offsetBytes, storedBytes] = [binlogMagic.length, 0];
  return { file, offsetBytes, storedBytes, lastBytes: noBytes, isComplete: false };
}

/**
 * Where the first whole event begins among bytes that begin anywhere: its size and the place of its
 * end agree, and its checksum is good, which no other bytes have by chance. Null when there is
 * none.
 */
export function findEventStart(bytes: Uint8Array, fromBytes: number): number | null {
  for (let at = 0; at + headerBytes <= bytes.length; at++) {
    const { sizeBytes, endOffset } = readHeader(bytes.subarray(at, at + headerBytes));
    if (sizeBytes < headerBytes || at + sizeBytes > bytes.length) continue;
    if (endOffset !== (fromBytes + at + sizeBytes) % 2 ** 32) continue;
    if (hasChecksum(bytes.subarray(at, at + sizeBytes))) return at;
  }
  return null;
}
