// Starts and stops the server that a restore made (PostgreSQL documentation, chapter "Server Setup
// and Operation"). The server is a session of its own: it outlives us, and is found again by its
// `postmaster.pid`.
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import { removeSocketFolder } from '../../platform/server-folder.ts';
import type { RunningServer } from '../../platform/server-process.ts';
import { endProcess, launchServer as launchProgram } from '../../platform/server-process.ts';
import { throwIfAborted } from '../guard.ts';
import { withQueries } from './connection.ts';
import { findPostmaster } from './postmaster-file.ts';
import { explainStartFailure } from './server-log.ts';

export type LaunchOptions = {
  readonly binDir: string;
  readonly dataDir: string;
  readonly args: readonly string[];
  readonly logPath: string;
  readonly identity: Identity | null;
};

const pollIntervalMs = 100;
const fastStopTimeoutMs = 60_000;
const immediateStopTimeoutMs = 15_000;
const killTimeoutMs = 5_000;

/** @throws engine-refused when the program cannot be run */
export async function launchServer(options: LaunchOptions): Promise<RunningServer> {
  const { binDir, dataDir, args, logPath, identity } = options;
  const program = join(binDir, 'postgres');
  return await launchProgram({ program, args, cwd: dataDir, logPath, identity });
}

export type WaitOptions = {
  readonly server: RunningServer;
  /** Over the private socket, where no password is asked for. */
  readonly connection: Connection;
  readonly logPath: string;
  readonly major: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

/**
 * Answers when the server takes queries and is out of recovery. @throws engine-refused with its log
 */
export async function waitUntilReady(options: WaitOptions): Promise<void> {
  const { server, clock, signal, timeoutMs } = options;
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    throwIfAborted(signal);
    if (server.hasExited()) throw await startFailure(options, 'did not start');
    try {
      if (await isOutOfRecovery(options.connection, signal)) return;
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof CairnError) || error.kind !== 'engine-unreachable') throw error;
    }
    if (clock.monotonicMs() > deadlineMs) {
      throw await startFailure(options, `was not ready after ${Math.round(timeoutMs / 1000)} s`);
    }
    await clock.sleep(pollIntervalMs, signal).catch(() => throwIfAborted(signal));
  }
}

/** Fast shutdown, then immediate, then the kernel's; answers when the process is gone. */
export async function stopProcess(
  pid: number,
  clock: Clock,
  signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGKILL'],
): Promise<void> {
  const timeouts: Partial<Record<NodeJS.Signals, number>> = {
    SIGINT: fastStopTimeoutMs,
    SIGQUIT: immediateStopTimeoutMs,
  };
  const steps = signals.map((name) => [name, timeouts[name] ?? killTimeoutMs] as const);
  await endProcess(pid, clock, steps);
}

/** Harmless when nothing runs on the folder. */
export async function stopManagedServer(
  server: ManagedServer,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  throwIfAborted(signal);
  const postmaster = await findPostmaster(server.dataDir);
  if (!postmaster) return;
  // Whoever waits may stop waiting, but a shutdown that has begun is carried through.
  await stopProcess(postmaster.pid, clock);
  await removeSocketFolder(postmaster.socketDir);
}

async function isOutOfRecovery(connection: Connection, signal: AbortSignal): Promise<boolean> {
  return await withQueries(connection, { signal }, async (query) => {
    const [row] = await query('select pg_is_in_recovery() as is_in_recovery');
    return row?.is_in_recovery === false;
  });
}

async function startFailure(options: WaitOptions, what: string): Promise<CairnError> {
  const { reason, hint } = await explainStartFailure(options.logPath, options.major);
  return new CairnError('engine-refused', `the restored server ${what}: ${reason}`, { hint });
}
