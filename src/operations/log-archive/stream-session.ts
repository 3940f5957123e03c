// One stream in the hands of the job that archives it: what it has stored since the last interval,
// and what the catalog is told of it. The storage is always a step ahead of the catalog, and what a
// crash leaves between them is mended when the stream is taken up again.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { LogLag } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { JobId, LogStreamId } from '../../model/ids.ts';
import { newBackupId } from '../../model/ids.ts';
import type {
  LogPoint,
  LogStreamProgress,
  LogStreamState,
  LogTrouble,
} from '../../model/log-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idSource } from '../../platform/random.ts';
import type {
  LogInterval,
  LogStreamRecord,
  LogStreamWriter,
  StoredLogPiece,
} from '../../repository/repository.ts';
import { freeName } from '../rebuild/free-name.ts';
import { insertInterval } from './interval-backup.ts';
import type { OpenInterval, PlannedInterval } from './plan-interval.ts';
import { addPiece, emptyInterval, nameInterval, planInterval } from './plan-interval.ts';

export type SessionParts = {
  readonly context: JobContext;
  readonly clock: Clock;
  readonly random: Random;
  readonly jobId: JobId;
};

export type SessionStart = {
  readonly writer: LogStreamWriter;
  readonly closed: LogStreamProgress['closed'];
  readonly open: OpenInterval;
};

export class StreamSession {
  readonly writer: LogStreamWriter;
  readonly #parts: SessionParts;
  #open: OpenInterval;
  #closed: LogStreamProgress['closed'];
  #lag: LogLag | null = null;
  #trouble: LogTrouble | null = null;

  constructor(parts: SessionParts, { writer, closed, open }: SessionStart) {
    this.writer = writer;
    this.#parts = parts;
    this.#closed = closed;
    this.#open = open;
  }

  get id(): LogStreamId {
    return this.record.streamId;
  }

  get record(): LogStreamRecord {
    return this.writer.record;
  }

  noteStored(piece: StoredLogPiece): void {
    if (piece.file.kind === 'log') this.#open = addPiece(this.#open, piece);
  }

  noteLag(lag: LogLag): void {
    this.#lag = lag;
  }

  /** Null: all is well again. */
  noteTrouble(trouble: LogTrouble | null): void {
    this.#trouble = trouble;
  }

  progressAt(covered: LogPoint | null): LogStreamProgress {
    return {
      covered,
      closed: this.#closed,
      behindBytes: this.#lag?.behindBytes ?? null,
      warning: this.#lag?.warning ?? null,
      trouble: this.#trouble,
    };
  }

  /** Tells the catalog how far the stream has come. @throws conflict, storage-unavailable */
  async save(covered: LogPoint | null): Promise<void> {
    const { context, clock } = this.#parts;
    const progress = this.progressAt(covered);
    await context.commit((tx) => tx.logStreams.setProgress(this.id, progress, clock.now()));
  }

  /** Closes what is due, or with `isEnding` what there is: the object first, then the row. */
  async closeInterval(
    covered: LogPoint | null,
    options: { readonly intervalMs: number; readonly isEnding: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { beganAt: at, facts } = this.record;
    const began = { position: facts.startPosition, at };
    const open = this.#open;
    const planned = planInterval({ ...{ open, covered, began }, closed: this.#closed, ...options });
    if (!planned) return;
    const { context, clock, jobId } = this.#parts;
    // What is stored from here on belongs to the next one.
    this.#open = emptyInterval;
    const interval = await this.#build(planned, open);
    await this.writer.closeInterval(interval, signal);
    this.#closed = { ...planned.end, sequence: planned.sequence };
    const progress = this.progressAt(covered);
    await context.commit(async (tx) => {
      await insertInterval(tx, { record: this.record, interval, jobId });
      await tx.logStreams.setProgress(this.id, progress, clock.now());
    });
    context.log.info({ streamId: this.id, name: interval.name }, 'log interval closed');
    await this.#lock(interval, signal);
  }

  /** What cannot be locked now is locked by the daily round. */
  async #lock(interval: LogInterval, signal: AbortSignal): Promise<void> {
    try {
      await this.writer.lockInterval(interval, signal);
    } catch (error) {
      const { name } = interval;
      this.#parts.context.log.warn({ err: error, name }, 'a log interval is not locked yet');
    }
  }

  async end(
    state: Extract<LogStreamState, { readonly status: 'ended' }>,
    also?: (tx: CatalogSession) => Promise<void>,
  ): Promise<void> {
    const { context, clock } = this.#parts;
    await context.commit(async (tx) => {
      await tx.logStreams.setState(this.id, state, clock.now());
      await also?.(tx);
    });
  }

  async #build(
    { sequence, start, end }: PlannedInterval,
    open: OpenInterval,
  ): Promise<LogInterval> {
    const { context, random } = this.#parts;
    const { engine, instanceName, projectId } = this.record;
    const name = await context.commit((tx) =>
      freeName(nameInterval(instanceName, end.at), (text) =>
        tx.backups.isNameTaken(projectId, text),
      ),
    );
    return {
      backupId: newBackupId(idSource(random), engine),
      ...{ sequence, name },
      startPosition: start.position,
      startAt: start.at,
      endPosition: end.position,
      endAt: end.at,
      files: open.files,
      logicalBytes: open.logicalBytes,
      storedBytes: open.storedBytes,
    };
  }
}
