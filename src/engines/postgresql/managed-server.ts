// Starts and stops the server that a restore made (PostgreSQL documentation, chapter "Server Setup
// and Operation"). The server is a session of its own: it outlives us, and is found again by its
// `postmaster.pid`.
import { spawn } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import type { Identity } from '../../platform/child-process.ts';
import { spawnBase } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import { throwIfAborted, withQueries } from './connection.ts';
import { findPostmaster, isAlive } from './postmaster-file.ts';
import { socketFolderPrefix } from './server-config.ts';
import { explainStartFailure } from './server-log.ts';

export type LaunchOptions = {
  readonly binDir: string;
  readonly dataDir: string;
  readonly args: readonly string[];
  readonly logPath: string;
  readonly identity: Identity | null;
};

export type RunningServer = {
  readonly pid: number;
  hasExited(): boolean;
};

const pollIntervalMs = 100;
const fastStopTimeoutMs = 60_000;
const immediateStopTimeoutMs = 15_000;
const killTimeoutMs = 5_000;

/** @throws engine-refused when the program cannot be run */
export async function launchServer(options: LaunchOptions): Promise<RunningServer> {
  await using log = await open(options.logPath, 'a', 0o600);
  if (options.identity) await log.chown(options.identity.uid, options.identity.gid);
  const child = spawn(join(options.binDir, 'postgres'), options.args, {
    ...spawnBase({ identity: options.identity, cwd: options.dataDir }),
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  let exited = false;
  child.on('exit', () => {
    exited = true;
  });
  await new Promise<void>((resolve, reject) => {
    child.on('spawn', resolve);
    child.on('error', (cause) => {
      exited = true;
      const text = `cannot run ${join(options.binDir, 'postgres')}: ${cause.message}`;
      reject(new CairnError('engine-refused', text, { cause }));
    });
  });
  child.unref();
  return { pid: child.pid ?? 0, hasExited: () => exited };
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
  for (const name of signals) {
    if (!sendSignal(pid, name)) return;
    if (await isGoneWithin(pid, timeouts[name] ?? killTimeoutMs, clock)) return;
  }
  throw new CairnError('engine-refused', `server process ${pid} does not end`, {
    hint: 'look at the process by hand: it may hang in a call of the operating system',
  });
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

/** Only a folder that we made ourselves, because the server's own was too long for a socket. */
export async function removeSocketFolder(folder: string): Promise<void> {
  if (dirname(folder) !== tmpdir() || !basename(folder).startsWith(socketFolderPrefix)) return;
  await rm(folder, { recursive: true, force: true });
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

/** False when there is no such process. */
function sendSignal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (cause) {
    if (!isAlive(pid)) return false;
    throw new CairnError('engine-refused', `server process ${pid} may not be stopped by us`, {
      hint: 'run Cairn as the user that the server runs as, or as root',
      cause,
    });
  }
}

async function isGoneWithin(pid: number, timeoutMs: number, clock: Clock): Promise<boolean> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  while (isAlive(pid)) {
    if (clock.monotonicMs() > deadlineMs) return false;
    await clock.sleep(pollIntervalMs);
  }
  return true;
}
