// The planned log as one stream of binary log, for the tool that turns it into statements: the
// format descriptions of all files, and of each file exactly the events that are replayed. So the
// tool has nothing to choose, and one session replays all: what a session holds (a temporary table)
// lives on from file to file.
//
// Behind the last transaction comes a statement of ours. Its answer has gone the whole way: read by
// the tool, sent by the client, executed by the server. So has everything before it.
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';
import type { LogSource } from '../engine.ts';
import type { EventChecksum } from './binlog-event.ts';
import {
  binlogMagic,
  eventTypes,
  headerBytes,
  parseFormatDescription,
  viewOf,
} from './binlog-event.ts';
import type { PlannedFile, ReplayPlan } from './binlog-plan.ts';
import type { FileEvent } from './binlog-reader.ts';
import { readEvents } from './binlog-reader.ts';
import { isOfTransaction } from './binlog-statement.ts';

export type FeedOptions = {
  readonly log: Pick<LogSource, 'streamFile'>;
  readonly plan: Pick<ReplayPlan, 'files'>;
  readonly onFed: (doneBytes: number) => void;
  readonly signal: AbortSignal;
};

/** What the server answers last. */
export const endWord = 'cairn-end-of-log';
/** Small events travel together. */
const batchMaxBytes = 256 * 1024;

/** What `feedEvents` tells of `onFed`, at its end. */
export function plannedBytes({ files }: Pick<ReplayPlan, 'files'>): number {
  const sizes = files.map(({ startBytes, endBytes }) => endBytes - startBytes);
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** @throws log-gap when the log is not what the plan was made of; storage errors */
export async function* feedEvents(options: FeedOptions): AsyncGenerator<Uint8Array> {
  const { plan, onFed } = options;
  let checksum: EventChecksum = 'none';
  let doneBytes = 0;
  let [batch, batchedBytes]: [Uint8Array[], number] = [[binlogMagic], 0];
  const flush = (): Uint8Array => {
    const bytes = Buffer.concat(batch);
    [batch, batchedBytes] = [[], 0];
    return bytes;
  };
  for (const file of plan.files) {
    for await (const event of plannedEvents(file, options)) {
      const { bytes, header } = event;
      if (header.type === eventTypes.formatDescription) {
        checksum = parseFormatDescription(event).checksum;
      }
      if (bytes.length < batchMaxBytes) {
        // Its bytes may be overwritten by what comes next.
        batch.push(Uint8Array.from(bytes));
        batchedBytes += bytes.length;
        if (batchedBytes < batchMaxBytes) continue;
        yield flush();
      } else {
        yield flush();
        // Up to 1 GiB: passed on before the next is asked for, and not copied.
        yield bytes;
      }
      onFed(doneBytes + event.endBytes - file.startBytes);
    }
    doneBytes += file.endBytes - file.startBytes;
  }
  batch.push(createStatement(`SELECT '${endWord}'`, checksum));
  yield flush();
  onFed(doneBytes);
}

/** Also the one that describes the format of the others. */
async function* plannedEvents(
  { name, startBytes, endBytes, omitted }: PlannedFile,
  { log, signal }: FeedOptions,
): AsyncGenerator<FileEvent> {
  let reachedBytes = 0;
  for await (const event of readEvents(log.streamFile(name, signal), name)) {
    signal.throwIfAborted();
    if (event.startBytes >= endBytes) break;
    reachedBytes = event.endBytes;
    const { type } = event.header;
    const isPlanned = event.startBytes >= startBytes && isOfTransaction(type);
    const isOmitted = omitted.some(
      (range) => range.startBytes <= event.startBytes && event.endBytes <= range.endBytes,
    );
    if (type === eventTypes.formatDescription || (isPlanned && !isOmitted)) yield event;
    if (reachedBytes >= endBytes) break;
  }
  if (reachedBytes === endBytes) return;
  throw new CairnError('log-gap', `binary log ${name} ends at ${reachedBytes} now`, {
    hint: `it was planned with up to ${endBytes}: it may have been deleted meanwhile`,
  });
}

/** Thread, seconds, length of the schema, error, length of the variables; then a 0. */
const queryHeadBytes = 13;

/** A query event, as `parseQuery` reads it. */
export function createStatement(statement: string, checksum: EventChecksum): Uint8Array {
  const text = Buffer.from(statement);
  const sizeBytes = headerBytes + queryHeadBytes + 1 + text.length;
  const tailBytes = checksum === 'crc32' ? 4 : 0;
  const bytes = new Uint8Array(sizeBytes + tailBytes);
  const view = viewOf(bytes);
  view.setUint8(4, eventTypes.query);
  view.setUint32(5, 1, true);
  view.setUint32(9, bytes.length, true);
  bytes.set(text, headerBytes + queryHeadBytes + 1);
  if (tailBytes > 0) view.setUint32(sizeBytes, crc32(bytes.subarray(0, sizeBytes)), true);
  return bytes;
}
