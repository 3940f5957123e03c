// Keeps child processes running: one that dies is started again, with a growing pause when it dies
// at once. Children hang on an IPC channel, so they notice when we are gone, however we went.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { setPriority } from 'node:os';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

export type SupervisorOptions = {
  readonly count: number;
  readonly modulePath: string;
  /** Arguments of one child; `name` is new for every start. */
  readonly argsFor: (name: string) => readonly string[];
  readonly newName: () => string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How far the children stand back for the processor: 0 (not at all) to 19. */
  readonly niceness: number;
  /** Called after a child has died, before the next is started. */
  readonly onDeath: (name: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
};

const pauseMinMs = 200;
const pauseMaxMs = 30_000;
/** A child that lived so long did not die of its start. */
const healthyMs = 30_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  readonly #children = new Set<ChildProcess>();
  readonly #slots: Promise<void>[];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, () => this.#keepRunning());
  }

  /** SIGTERM to all, SIGKILL to who is left after `graceMs`; answers when all are gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    for (const child of this.#children) child.kill('SIGTERM');
    const { clock } = this.#options;
    const done = new AbortController();
    const killing = clock.sleep(graceMs, done.signal).then(
      () => {
        for (const child of this.#children) child.kill('SIGKILL');
      },
      () => undefined,
    );
    await Promise.all(this.#slots);
    done.abort();
    await killing;
  }

  async #keepRunning(): Promise<void> {
    const { clock, log, onDeath, newName } = this.#options;
    let pauseMs = pauseMinMs;
    while (!this.#stopping.signal.aborted) {
      const name = newName();
      const beganMs = clock.monotonicMs();
      const end = await this.#runOnce(name);
      if (!this.#stopping.signal.aborted) log.warn({ worker: name, end }, 'a worker process died');
      await onDeath(name).catch((err: unknown) => {
        log.error({ err, worker: name }, 'could not release the jobs of a dead worker');
      });
      if (this.#stopping.signal.aborted) return;
      const lived = clock.monotonicMs() - beganMs;
      pauseMs = lived > healthyMs ? pauseMinMs : Math.min(pauseMs * 2, pauseMaxMs);
      await clock.sleep(pauseMs, this.#stopping.signal).catch(() => undefined);
    }
  }

  async #runOnce(name: string): Promise<string> {
    const { modulePath, argsFor, environment } = this.#options;
    const child = fork(modulePath, [...argsFor(name)], {
      env: { ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#children.add(child);
    // Before the child has threads: on Linux each has a priority of its own, from its birth.
    if (child.pid !== undefined) lowerPriority(child.pid, this.#options.niceness);
    return await new Promise<string>((resolve) => {
      const end = (text: string): void => {
        this.#children.delete(child);
        resolve(text);
      };
      // Only a failed start: a signal that could not be sent does not end the child.
      child.on('error', (error) => {
        if (child.pid === undefined) end(error.message);
      });
      child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
    });
  }
}

/** A child that is gone needs none; that it was lowered is never a condition for its work. */
function lowerPriority(pid: number, niceness: number): void {
  try {
    setPriority(pid, niceness);
  } catch {
    return;
  }
}
