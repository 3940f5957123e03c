import type { SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { CairnError } from '../model/errors.ts';
import { deadlineSignal } from './deadline.ts';

export type Identity = { readonly uid: number; readonly gid: number };

export type CommandResult = {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

export type CommandOptions = {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Run as this user; null for our own. */
  readonly identity?: Identity | null;
  readonly cwd?: string;
  /**
   * The whole environment of the child: ours is not inherited, so that no secret leaks by accident.
   */
  readonly env?: Readonly<Record<string, string>>;
};

const outputCharactersMax = 1_000_000;

/**
 * Runs a program to its end and answers what it printed, whatever its exit code. Output over 1 MB
 * is cut.
 * @throws not-found when there is no such program, cancelled when the signal or the time limit
 * ended it
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const signal = deadlineSignal(options.timeoutMs, options.signal);
  const child = spawn(program, args, {
    ...spawnBase(options),
    signal,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      if (output[stream].length < outputCharactersMax) output[stream] += text;
    });
  }
  return await new Promise<CommandResult>((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => reject(spawnError(program, cause, signal)));
    child.on('close', (code) => {
      if (!signal.aborted) resolve({ exitCode: code ?? 255, ...output });
    });
  });
}

/** Options that `spawn` needs to become another user with a clean environment. */
export function spawnBase(options: Omit<CommandOptions, 'timeoutMs' | 'signal'>): SpawnOptions {
  return {
    cwd: options.cwd ?? '/',
    env: options.env ?? { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    ...(options.identity ? { uid: options.identity.uid, gid: options.identity.gid } : {}),
  };
}

function spawnError(
  program: string,
  cause: NodeJS.ErrnoException,
  signal: AbortSignal,
): CairnError {
  if (signal.aborted) {
    return new CairnError('cancelled', `${program} was ended before it finished`, { cause });
  }
  const kind = cause.code === 'ENOENT' ? 'not-found' : 'bug';
  return new CairnError(kind, `cannot run ${program}: ${cause.message}`, { cause });
}
