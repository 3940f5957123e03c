// Servers that are started on purpose to outlive us: each is a session of its own, logs to a file,
// and is found again by who has started it.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { CairnError } from '../model/errors.ts';
import type { Identity } from './child-process.ts';
import { spawnBase } from './child-process.ts';
import type { Clock } from './clock.ts';

export type LaunchOptions = {
  readonly program: string;
  readonly args: readonly string[];
  /** Where the server works. */
  readonly cwd: string;
  readonly logPath: string;
  readonly identity: Identity | null;
  readonly env?: Readonly<Record<string, string>>;
};

export type RunningServer = {
  readonly pid: number;
  hasExited(): boolean;
};

/** Signals in order, and how long each may take. */
export type EndSteps = readonly (readonly [signal: NodeJS.Signals, timeoutMs: number])[];

const pollIntervalMs = 100;

/** @throws engine-refused when the program cannot be run */
export async function launchServer(options: LaunchOptions): Promise<RunningServer> {
  const { program, identity } = options;
  await using log = await open(options.logPath, 'a', 0o600);
  if (identity) await log.chown(identity.uid, identity.gid);
  const child = spawn(program, options.args, {
    ...spawnBase({ identity, cwd: options.cwd, ...(options.env ? { env: options.env } : {}) }),
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
      const text = `cannot run ${program}: ${cause.message}`;
      reject(new CairnError('engine-refused', text, { cause }));
    });
  });
  child.unref();
  return { pid: child.pid ?? 0, hasExited: () => exited };
}

/** Answers when the process is gone. @throws engine-refused when it does not go */
export async function endProcess(pid: number, clock: Clock, steps: EndSteps): Promise<void> {
  for (const [name, timeoutMs] of steps) {
    if (!sendSignal(pid, name)) return;
    if (await isGoneWithin(pid, timeoutMs, clock)) return;
  }
  throw new CairnError('engine-refused', `server process ${pid} does not end`, {
    hint: 'look at the process by hand: it may hang in a call of the operating system',
  });
}

/**
 * A process that may not be signalled is alive too; one that has ended and that nobody has asked
 * about since is not.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return !isZombie(pid);
}

/** In a container the first process may leave those whose parent has died as they are, for good. */
function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything; the state follows the last one.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
  } catch {
    return false;
  }
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
