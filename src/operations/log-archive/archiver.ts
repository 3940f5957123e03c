// The collector and the session of the stream that is followed: opened once, and used for as many
// connections to the server as it takes. When the storage or the catalog has failed, it is thrown
// away and opened anew from what is stored.
import type { LogResumePoint, LogStreamFacts } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { assert } from '../../model/assert.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import { newLogStreamId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import type { LogStream } from '../../model/log-stream.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { Gate } from '../../platform/gate.ts';
import { idSource } from '../../platform/random.ts';
import type { LogPiece, LogStreamRecord } from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { askForBase } from './ask-for-base.ts';
import { LogCollector, usualCollectorLimits } from './log-collector.ts';
import { emptyInterval } from './plan-interval.ts';
import { resumeStream } from './resume-stream.ts';
import { StreamSession } from './stream-session.ts';

const storeTimeoutMs = 10 * 60_000;
/** What a worker that is told to stop may still store; its own grace is longer. */
const lastStoreMs = 8_000;

/** Whole files lie in memory, of however many instances: one at a time in this process. */
const wholeGate = new Gate({
  runningMax: 1,
  waitingMax: 1_000,
  refusal: () => new CairnError('conflict', 'too many log files wait for being made whole'),
});

export type ArchiverOptions = {
  readonly job: Job;
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly instance: Instance;
};

export class Archiver implements AsyncDisposable {
  readonly #options: ArchiverOptions;
  readonly #storing = new AbortController();
  readonly #closing = new AbortController();
  readonly collector: LogCollector;
  #session: StreamSession | null;
  /** Fires when what was sent cannot be stored. */
  readonly #broken = new AbortController();

  /** @throws storage-unavailable, repository-damaged, conflict when the lease is lost */
  static async open(options: ArchiverOptions): Promise<Archiver> {
    const { job, context, parts, instance } = options;
    const resumed = await resumeStream(instance.id, parts, { ...parts, context, jobId: job.id });
    const archiver = new Archiver(options, resumed);
    archiver.collector.makeWhole(resumed?.wholes ?? []);
    return archiver;
  }

  private constructor(options: ArchiverOptions, resumed: Awaited<ReturnType<typeof resumeStream>>) {
    this.#options = options;
    this.#session = resumed?.session ?? null;
    const { clock } = options.parts;
    this.collector = new LogCollector({
      ...{ clock, limits: usualCollectorLimits, signal: this.#closing.signal },
      resume: resumed?.stored ?? null,
      beginStream: (facts) => this.#beginStream(facts),
      store: (piece, bytes) => this.#requireSession().writer.store(piece, bytes, this.#deadline()),
      storeWhole: (whole) => this.#storeWhole(whole),
      onStored: (piece) => this.#requireSession().noteStored(piece),
      onFailure: (error) => this.#broken.abort(error),
    });
    this.#watchContext();
  }

  /** Null until a new stream has begun. */
  get session(): StreamSession | null {
    return this.#session;
  }

  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  get resume(): LogResumePoint | null {
    if (!this.#session) return null;
    const { facts } = this.#session.record;
    const { storedPosition, lastBytes, fileStart } = this.collector;
    const position = storedPosition ?? facts.startPosition;
    return { facts, position, lastBytes, ...(fileStart ? { fileStart } : {}) };
  }

  async save(): Promise<void> {
    await this.#session?.save(this.collector.covered);
  }

  async closeInterval(options: {
    readonly intervalMs: number;
    readonly isEnding: boolean;
  }): Promise<void> {
    await this.#session?.closeInterval(this.collector.covered, options, this.#deadline());
  }

  /** Nothing is written any more when it answers. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.collector.close();
    this.#closing.abort();
    this.#storing.abort();
  }

  #requireSession(): StreamSession {
    assert(this.#session !== null, 'log of a stream that has not begun');
    return this.#session;
  }

  #deadline(): AbortSignal {
    return deadlineSignal(storeTimeoutMs, this.#storing.signal);
  }

  /** A worker that stops stores what it has; one that has lost its lease stores nothing more. */
  #watchContext(): void {
    const { context, parts } = this.#options;
    const onAbort = (): void => {
      const { reason } = context.signal;
      const graceMs = isErrorKind(reason, 'conflict') ? 0 : lastStoreMs;
      const giveUp = (): void => this.#storing.abort(reason);
      parts.clock.sleep(graceMs, this.#closing.signal).then(giveUp, () => undefined);
    };
    if (context.signal.aborted) return onAbort();
    context.signal.addEventListener('abort', onAbort, { once: true });
    this.#closing.signal.addEventListener('abort', () =>
      context.signal.removeEventListener('abort', onAbort),
    );
  }

  /** The record first, then the row, with the full backup that the stream needs. */
  async #beginStream(facts: LogStreamFacts): Promise<void> {
    const { context, parts, job, instance } = this.#options;
    const { clock, random, repository } = parts;
    const beganAt = clock.now();
    const record: LogStreamRecord = {
      streamId: newLogStreamId(idSource(random), beganAt),
      instanceId: instance.id,
      projectId: instance.projectId,
      instanceName: instance.name,
      engine: instance.engine,
      ...{ beganAt, facts },
    };
    const writer = await repository.log.beginStream(record, beganAt, this.#deadline());
    const backup = await context.commit(async (tx) => {
      const current = await tx.instances.get(instance.projectId, instance.id);
      await tx.logStreams.insert(streamOf(record));
      return await askForBase(tx, parts, current);
    });
    const sessionParts = { context, clock, random, jobId: job.id };
    this.#session = new StreamSession(sessionParts, { writer, closed: null, open: emptyInterval });
    const { streamId } = record;
    context.log.info({ streamId, backupId: backup?.id ?? null }, 'a stream of log begins');
  }

  /** It stays in its pieces when this fails: they are as good, only more. */
  async #storeWhole(whole: LogPiece): Promise<void> {
    const { parts, context, instance } = this.#options;
    const { name } = whole.file;
    const { id, writer } = this.#requireSession();
    try {
      await wholeGate.run(async () => {
        const signal = this.#deadline();
        const { bytes } = await parts.repository.log.readFile(instance.id, id, name, signal);
        const foundBytes = bytes.byteLength;
        if (foundBytes < whole.lengthBytes || (whole.isLast && foundBytes > whole.lengthBytes)) {
          const text = `log file ${name} has ${foundBytes} of ${whole.lengthBytes} bytes`;
          throw new CairnError('repository-damaged', text);
        }
        await writer.store(whole, bytes.subarray(0, whole.lengthBytes), signal);
      }, this.#storing.signal);
    } catch (error) {
      context.log.warn({ err: error, file: name }, 'a log file stays in pieces for now');
    }
  }
}

function streamOf(record: LogStreamRecord): LogStream {
  const { streamId, projectId, instanceId, engine, beganAt, facts } = record;
  const { systemIdentifier, startPosition } = facts;
  return {
    id: streamId,
    ...{ projectId, instanceId, engine, systemIdentifier, startPosition, beganAt },
    keptFrom: startPosition,
    state: { status: 'following' },
    progress: { covered: null, closed: null, behindBytes: null, warning: null, trouble: null },
    updatedAt: beganAt,
  };
}
