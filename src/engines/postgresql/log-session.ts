// One connection's share of a stream of log: timeline after timeline, each announced by its history
// file. What is stored is confirmed to the server, and nothing else is: the slot keeps the rest.
import { CairnError } from '../../model/errors.ts';
import { formatLsn, parseLsn } from '../../model/log-position.ts';
import type { LogSink } from '../engine.ts';
import type { LogClock } from '../log-clock.ts';
import type { ResultSet } from './backend-messages.ts';
import { statusMessage } from './log-messages.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { historyFileName } from './log-position.ts';
import { LogReceiver } from './log-receiver.ts';
import type { EndedTimeline, ServerBranch } from './log-timelines.ts';
import { findEnd, parseHistory, planBranchStart } from './log-timelines.ts';
import type { QueryOptions, ReplicationStream } from './replication-stream.ts';

export type LogSessionOptions = {
  readonly stream: ReplicationStream;
  readonly sink: LogSink;
  readonly keeperName: string;
  readonly branch: ServerBranch;
  readonly clock: LogClock;
  readonly silenceTimeoutMs: number;
  readonly signal: AbortSignal;
};

export type SessionStart = {
  readonly position: PostgresLogPosition;
  /** The stream holds the history of the position's timeline. */
  readonly hasHistory: boolean;
  readonly lastBytes: Uint8Array;
};

type History = { readonly content: string; readonly ended: readonly EndedTimeline[] };

const commandTimeoutMs = 60_000;
const noBytes = new Uint8Array();

export class LogSession {
  readonly #options: LogSessionOptions;
  #receiver: LogReceiver | null = null;
  #startLsn = 0n;
  #confirmedLsn = 0n;

  constructor(options: LogSessionOptions) {
    this.#options = options;
  }

  /** Ends only by failing. @throws engine-unreachable, engine-refused, log-gap, the sink's own */
  async follow(start: SessionStart): Promise<never> {
    const { segmentBytes } = this.#options.branch;
    let { position, hasHistory, lastBytes } = start;
    for (;;) {
      if (!hasHistory && position.timeline > 1) await this.#storeHistory(position);
      const next = await this.#followTimeline(position, lastBytes);
      position = planBranchStart(next.timeline, next.forkLsn, segmentBytes);
      [hasHistory, lastBytes] = [false, noBytes];
    }
  }

  /** Call every second: marks what has come and confirms what is stored. */
  tick(options: { readonly wantsAnswer: boolean }): void {
    this.#receiver?.tick();
    this.#confirm(options);
  }

  /** The server sends the timeline until its end, and tells where the next one branched off. */
  async #followTimeline(
    start: PostgresLogPosition,
    lastBytes: Uint8Array,
  ): Promise<{ timeline: number; forkLsn: bigint }> {
    const { stream, sink, clock, branch, keeperName, silenceTimeoutMs, signal } = this.#options;
    this.#startLsn = start.lsn;
    const receiver = new LogReceiver({
      ...{ sink, clock, start, lastBytes, signal },
      segmentBytes: branch.segmentBytes,
      endLsn: findEnd(branch, start.timeline),
      onAnswerWanted: () => this.#confirm({ wantsAnswer: false }),
    });
    this.#receiver = receiver;
    const { timeline, lsn } = receiver.position;
    const results = await stream.query(
      `START_REPLICATION SLOT "${keeperName}" PHYSICAL ${formatLsn(lsn)} TIMELINE ${timeline}`,
      {
        purpose: 'the log archive',
        receiver,
        firstByteTimeoutMs: commandTimeoutMs,
        silenceTimeoutMs,
      },
    );
    const next = readNextTimeline(results.at(-1));
    receiver.end(next.forkLsn);
    return next;
  }

  /**
   * The flush position moves the slot. It is told once for each position and taken back at once (0
   * moves nothing): with `synchronous_standby_names = '*'` the server would count us as a standby
   * otherwise, and let every commit wait until it is archived.
   */
  #confirm({ wantsAnswer }: { readonly wantsAnswer: boolean }): void {
    const { stream } = this.#options;
    const receiver = this.#receiver;
    if (!receiver) return;
    const writtenLsn = receiver.position.lsn;
    const flushedLsn = this.#storedLsn(receiver.position.timeline);
    if (flushedLsn !== this.#confirmedLsn) {
      this.#confirmedLsn = flushedLsn;
      stream.send(statusMessage({ writtenLsn, flushedLsn, wantsAnswer: false }));
    }
    stream.send(statusMessage({ writtenLsn, flushedLsn: 0n, wantsAnswer }));
  }

  /** While nothing of the timeline is stored the server must keep it from its beginning. */
  #storedLsn(timeline: number): bigint {
    const stored = this.#options.sink.storedPosition;
    if (stored?.engine !== 'postgresql') return this.#startLsn;
    if (stored.timeline === timeline) return stored.lsn;
    return stored.lsn < this.#startLsn ? stored.lsn : this.#startLsn;
  }

  async #storeHistory(position: PostgresLogPosition): Promise<void> {
    const { stream, sink, clock } = this.#options;
    const { content } = await readHistory(stream, position.timeline);
    const bytes = Buffer.from(content, 'utf8');
    sink.beginFile({
      name: historyFileName(position.timeline),
      kind: 'side',
      startPosition: position,
      offsetBytes: 0,
      sizeBytes: bytes.length,
    });
    await sink.write(bytes);
    sink.mark({ position, at: clock.provenAt(position) });
    sink.endFile();
  }
}

/** @throws engine-refused */
export async function readHistory(stream: ReplicationStream, timeline: number): Promise<History> {
  const results = await stream.query(
    `TIMELINE_HISTORY ${timeline}`,
    commandLimits(`the history of timeline ${timeline}`),
  );
  const content = results[0]?.rows[0]?.[1] ?? '';
  return { content, ended: parseHistory(content) };
}

export function commandLimits(purpose: string): QueryOptions {
  return { purpose, firstByteTimeoutMs: commandTimeoutMs, silenceTimeoutMs: commandTimeoutMs };
}

function readNextTimeline(result: ResultSet | undefined): { timeline: number; forkLsn: bigint } {
  const [timelineText, lsnText] = result?.rows[0] ?? [];
  const timeline = Number(timelineText);
  const forkLsn = parseLsn(lsnText ?? '');
  if (forkLsn !== null && Number.isSafeInteger(timeline) && timeline > 1) {
    return { timeline, forkLsn };
  }
  throw new CairnError('engine-unreachable', 'the server ended its log without saying why', {
    hint: 'look into the server log: it was stopped, or it crashed',
  });
}
