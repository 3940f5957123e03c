// Reads ranges of files over several connections at once and hands them out in the order in which
// they were asked for. Requests go to the connections in turn, each of which works one after
// another; twice as many as there are connections are under way or waiting to be used, which bounds
// the memory.

import { isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { MiB } from '../../model/units.ts';
import { CopyRows } from './page-source-copy.ts';
import type { SessionParts } from './page-source-session.ts';
import { openSqlStream } from './page-source-session.ts';
import type { ReplicationStream } from './replication-stream.ts';
import { quoteText } from './sql-text.ts';

/** A range of a file; less comes where the file ends before. */
export type Range = {
  readonly path: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
};

/** For each range its bytes, null where there is no such file; good until the next is asked for. */
export type RangeContents = readonly (Buffer | null)[];

/**
 * What the server holds at once of a file stays in its processor's cache (measured, 1.3 GB over two
 * connections: 549 to 825 MB/s in ranges of 256 KiB, 218 to 232 MB/s in ranges of 8 MiB).
 */
export const rangeBytesMax = MiB / 4;
/** Of all ranges that are asked for at once: enough to hide the way to the server and back. */
export const requestBytesMax = 8 * MiB;
const requestsPerLane = 2;
const noConnectionLeft = '53300';

export class PageLanes implements AsyncDisposable {
  readonly #streams: readonly ReplicationStream[];
  readonly #timeoutMs: number;
  readonly #stop: AbortController;
  readonly #free: Buffer[] = [];
  #asking = 0;

  /** As many as asked for, or as the server has room for, at least one. */
  static async open(
    connection: Connection,
    laneCount: number,
    parts: SessionParts,
  ): Promise<PageLanes> {
    const streams: ReplicationStream[] = [];
    const stop = new AbortController();
    const signal = AbortSignal.any([parts.signal, stop.signal]);
    try {
      while (streams.length < laneCount) {
        streams.push(await openSqlStream(connection, { ...parts, signal }));
      }
    } catch (error) {
      const isFull =
        isErrorKind(error, 'engine-refused') && error.details.code === noConnectionLeft;
      if (!isFull || streams.length === 0) {
        await closeAll(streams);
        throw error;
      }
    }
    return new PageLanes(streams, stop, parts.silenceTimeoutMs);
  }

  private constructor(
    streams: readonly ReplicationStream[],
    stop: AbortController,
    timeoutMs: number,
  ) {
    this.#streams = streams;
    this.#stop = stop;
    this.#timeoutMs = timeoutMs;
  }

  get laneCount(): number {
    return this.#streams.length;
  }

  /** @throws engine-unreachable, engine-refused, cancelled */
  async *read<Request extends { readonly ranges: readonly Range[] }>(
    requests: Iterable<Request>,
  ): AsyncGenerator<{ readonly request: Request; readonly contents: RangeContents }> {
    const tails = this.#streams.map(() => Promise.resolve());
    const ahead: { request: Request; contents: Promise<RangeContents> }[] = [];
    const iterator = requests[Symbol.iterator]();
    let count = 0;
    const begin = (): void => {
      const { done, value: request } = iterator.next();
      if (done) return;
      const lane = count++ % this.#streams.length;
      const contents = (tails[lane] ?? Promise.resolve()).then(() =>
        this.#ask(this.#streams[lane] as ReplicationStream, request.ranges),
      );
      // Who waits for the contents is told; the lane itself only has to be free again.
      tails[lane] = contents.then(noResult, noResult);
      ahead.push({ request, contents });
    };
    for (let i = 0; i < this.#streams.length * requestsPerLane; i++) begin();
    for (let next = ahead.shift(); next; next = ahead.shift()) {
      const contents = await next.contents;
      yield { request: next.request, contents };
      this.#giveBack(contents);
      begin();
    }
  }

  async #ask(stream: ReplicationStream, ranges: readonly Range[]): Promise<RangeContents> {
    if (ranges.length === 0) return [];
    const receiver = new CopyRows({
      sizesMax: ranges.map((range) => range.sizeBytes),
      allocate: (sizeBytes) => this.#allocate(sizeBytes),
    });
    this.#asking++;
    try {
      await stream.query(readStatement(ranges), {
        purpose: `the base backup at ${ranges[0]?.path}`,
        receiver,
        ...{ firstByteTimeoutMs: this.#timeoutMs, silenceTimeoutMs: this.#timeoutMs },
      });
    } finally {
      this.#asking--;
    }
    return receiver.end();
  }

  /** Large memory is used again and again; fresh memory costs more than the copy into it. */
  #allocate(sizeBytes: number): Buffer {
    const isUsual = sizeBytes * 2 >= rangeBytesMax && sizeBytes <= rangeBytesMax;
    if (!isUsual) return Buffer.allocUnsafeSlow(sizeBytes);
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(rangeBytesMax);
    return buffer.subarray(0, sizeBytes);
  }

  #giveBack(contents: RangeContents): void {
    for (const content of contents) {
      if (content && content.buffer.byteLength === rangeBytesMax) {
        this.#free.push(Buffer.from(content.buffer));
      }
    }
  }

  /** What is still being read is cut off. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#asking > 0) this.#stop.abort();
    await closeAll(this.#streams);
  }
}

function readStatement(ranges: readonly Range[]): string {
  const rows = ranges.map(({ path, offsetBytes, sizeBytes }, number) => {
    return `(${number}, ${quoteText(path)}, ${offsetBytes}::bigint, ${sizeBytes}::bigint)`;
  });
  return `copy (select number, pg_read_binary_file(path, first, size, true)
    from (values ${rows.join(', ')}) as range (number, path, first, size)
  ) to stdout (format binary)`;
}

async function closeAll(streams: readonly ReplicationStream[]): Promise<void> {
  for (const stream of streams) await stream[Symbol.asyncDispose]();
}

function noResult(): undefined {
  return undefined;
}
