// Two programs in a row: one turns binary log into statements, the other sends them to the server.
// Each may fail, or just end, while the other sees a clean end of its input: so the exit codes of
// both count, and the answer of the last statement. Neither reads option files, and neither gets a
// password in its arguments.
import { PassThrough } from 'node:stream';
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import { runStreaming } from '../../platform/child-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import type { LogSource } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import type { ReplayPlan } from './binlog-plan.ts';
import { withQueries } from './connection.ts';
import { endWord, feedEvents, plannedBytes } from './replay-feed.ts';
import { clientCommand, decoderCommand, explainClient } from './replay-tools.ts';
import type { IsolatedWork } from './start-restored.ts';

export type PlannedLog = {
  readonly source: Pick<LogSource, 'streamFile'>;
  readonly plan: Pick<ReplayPlan, 'files'>;
};

/** What both programs are given, and what is told of them. */
type Run = {
  /** Statements on their way from one to the other. */
  readonly pipe: PassThrough;
  /** Something has moved. */
  readonly moved: () => void;
  readonly signal: AbortSignal;
};

/** One statement of the log may rebuild a large table; but none takes a day. */
const stallTimeoutMs = 24 * 3600_000;
const watchIntervalMs = 5_000;
const pipeBytes = 1 * MiB;
/** The largest that servers and clients know: a row may be that long. */
const packetBytesMax = 1024 * MiB;
const answerCharactersMax = 1000;

/** @throws engine-refused, log-gap, storage errors, cancelled */
export async function applyLog(planned: PlannedLog, work: IsolatedWork): Promise<void> {
  const { clock, signal } = work;
  await prepareServer(work);
  const stop = new AbortController();
  const over = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  let movedAtMs = clock.monotonicMs();
  const moved = (): void => {
    movedAtMs = clock.monotonicMs();
  };
  const pipe = new PassThrough({ highWaterMark: pipeBytes });
  // Who feeds it, or drains it, sees its failures.
  pipe.on('error', () => undefined);
  const run = { pipe, moved, signal: stopped };
  /** The first failure is why the others end. */
  const orStop = (part: Promise<void>): Promise<void> => {
    return part.catch((error: unknown) => {
      stop.abort(error);
    });
  };
  const both = Promise.all([
    orStop(decode(planned, run, work)),
    orStop(execute(run, work)),
  ]).finally(() => over.abort());
  const watched = AbortSignal.any([stopped, over.signal]);
  await Promise.all([both, orStop(watch(() => movedAtMs, clock, watched))]);
  pipe.destroy();
  throwIfAborted(signal);
  stop.signal.throwIfAborted();
}

async function prepareServer({ connection, signal }: IsolatedWork): Promise<void> {
  await withQueries(connection, { signal }, async (query) => {
    await query(`set global max_allowed_packet = ${packetBytesMax}`);
    // The server is stopped cleanly when this is over, and until then nothing of it counts.
    await query('set global innodb_flush_log_at_trx_commit = 0');
  });
}

async function decode(
  { source, plan }: PlannedLog,
  { pipe, moved, signal }: Run,
  work: IsolatedWork,
): Promise<void> {
  const { program, args, env } = decoderCommand(work);
  const totalBytes = plannedBytes(plan);
  const onFed = (doneBytes: number): void => {
    moved();
    work.onProgress(doneBytes, totalBytes);
  };
  const { exitCode, stderr } = await runStreaming(program, args, {
    ...{ env, cwd: work.scratchDir, identity: work.identity, signal },
    input: feedEvents({ log: source, plan, onFed, signal }),
    take: (text) => passOn(pipe, text, moved),
  });
  if (exitCode !== 0) {
    throw new CairnError('engine-refused', `${program} could not read the log: ${stderr.trim()}`);
  }
  pipe.end();
}

async function execute({ pipe, moved, signal }: Run, work: IsolatedWork): Promise<void> {
  const { program, args, env } = clientCommand(work);
  let answer = '';
  const { exitCode, stderr } = await runStreaming(program, args, {
    ...{ env, cwd: work.scratchDir, identity: work.identity, signal },
    input: pipe,
    take: (bytes) => {
      moved();
      answer = (answer + Buffer.from(bytes).toString('latin1')).slice(-answerCharactersMax);
      return undefined;
    },
  });
  if (exitCode !== 0) throw explainClient(stderr);
  if (answer.trimEnd().split('\n').at(-1) === endWord) return;
  throw new CairnError('engine-refused', 'the replay of the log ended before the end of the log', {
    hint: 'the restored server is not complete; try again',
    details: { answer },
  });
}

/** Waits until the client has taken what it has; what it does not want any more is dropped. */
function passOn(pipe: PassThrough, text: Uint8Array, moved: () => void): undefined | Promise<void> {
  moved();
  // The client has ended: why, its exit code says.
  if (pipe.destroyed || pipe.write(text)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      pipe.off('drain', done).off('close', done);
      resolve();
    };
    pipe.on('drain', done).on('close', done);
  });
}

async function watch(movedAtMs: () => number, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(watchIntervalMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    if (clock.monotonicMs() - movedAtMs() < stallTimeoutMs) continue;
    const hours = stallTimeoutMs / 3600_000;
    throw new CairnError('engine-refused', `the replay has not moved for ${hours} hours`);
  }
}
