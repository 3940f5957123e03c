// Programs whose output, or input, is too large to be kept: it passes by in pieces, and who is slow
// makes the other wait.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { CairnError } from '../model/errors.ts';
import type { CommandOptions } from './child-process.ts';
import { spawnBase } from './child-process.ts';

export type StreamingOptions = Omit<CommandOptions, 'timeoutMs'> & {
  readonly signal: AbortSignal;
  /** The program's input; nothing when it is left out. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Gets every piece of the output in order, one at a time. */
  readonly take: (bytes: Uint8Array) => undefined | Promise<void>;
  /** Whenever the program complains. */
  readonly onComplaint?: () => void;
  /** What asks the program to end; SIGTERM, unless it is one that ignores that. */
  readonly endSignal?: 'SIGTERM' | 'SIGINT';
};

export type StreamedResult = {
  /** Null: a signal ended the program. */
  readonly exitCode: number | null;
  /** The last of what it complained of. */
  readonly stderr: string;
};

const stderrCharactersMax = 4000;
const killDelayMs = 10_000;

/**
 * Runs a program to its end. It does not outlive the call: when the signal fires, or the output
 * cannot be taken, or the input fails, it is asked to end, and killed when it does not.
 * @throws not-found when there is no such program; the signal's reason; what `take` or the input
 * threw
 */
export async function runStreaming(
  program: string,
  args: readonly string[],
  options: StreamingOptions,
): Promise<StreamedResult> {
  const { signal, input, take } = options;
  signal.throwIfAborted();
  const child = spawn(program, args, {
    ...spawnBase(options),
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: what it starts in its turn ends with it, and a key pressed in a terminal
    // reaches us only, who know what comes first.
    detached: true,
  });
  const ended = endOf(program, child);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-stderrCharactersMax);
    options.onComplaint?.();
  });
  const stop = (): void => end(child, options.endSignal ?? 'SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    const [exitCode] = await Promise.all([ended, drain(child, take), feed(child, input)]);
    signal.throwIfAborted();
    return { exitCode, stderr };
  } catch (error) {
    stop();
    await ended.catch(() => undefined);
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function endOf(program: string, child: ChildProcess): Promise<number | null> {
  return await new Promise((resolve, reject) => {
    child.on('close', (code) => resolve(code));
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const kind = cause.code === 'ENOENT' ? 'not-found' : 'bug';
      reject(new CairnError(kind, `cannot run ${program}: ${cause.message}`, { cause }));
    });
  });
}

async function drain(child: ChildProcess, take: StreamingOptions['take']): Promise<void> {
  for await (const bytes of child.stdout ?? []) await take(bytes as Uint8Array);
}

/** A program that ends without having read everything says why by its exit code. */
async function feed(child: ChildProcess, input: StreamingOptions['input']): Promise<void> {
  if (!child.stdin) return;
  try {
    await pipeline(input ?? [], child.stdin);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code !== 'EPIPE' && code !== 'ECONNRESET' && code !== 'ERR_STREAM_PREMATURE_CLOSE') {
      throw error;
    }
  }
}

function end(child: ChildProcess, endSignal: NodeJS.Signals): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.stdout?.destroy();
  sendToGroup(child, endSignal);
  const kill = setTimeout(() => sendToGroup(child, 'SIGKILL'), killDelayMs);
  void once(child, 'close')
    .finally(() => clearTimeout(kill))
    .catch(() => undefined);
}

function sendToGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  // Without a number it was never started.
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
