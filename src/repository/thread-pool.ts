// A fixed set of worker threads for page work. It queues nothing itself beyond what it is given:
// callers bound what they have in flight. A thread that dies fails its tasks and every later one:
// the job ends as a bug, and whoever needs threads next makes a new pool.
import { Worker } from 'node:worker_threads';
import type { RecordedError } from '../model/errors.ts';
import { CairnError } from '../model/errors.ts';
import { isDiskFull } from '../platform/disk-full.ts';
import type { BatchSegment, ExpectedPages, FrameWrites, PageTake, TakenPages } from './pages.ts';

export type ThreadTask =
  | ({ readonly kind: 'differ' } & ExpectedPages)
  | {
      readonly kind: 'compare';
      readonly buffer: ArrayBuffer;
      readonly segments: readonly BatchSegment[];
      readonly known: { readonly priors: Uint8Array; readonly digests: Uint8Array };
    }
  | {
      readonly kind: 'seal';
      readonly buffer: ArrayBuffer;
      readonly lengthBytes: number;
      readonly key: Uint8Array;
      readonly frame: number;
      readonly level: number;
    }
  | {
      readonly kind: 'write';
      /** Of frames that lie side by side. */
      readonly sealed: Uint8Array;
      readonly name: string;
      readonly key: Uint8Array;
      readonly frames: readonly FrameWrites[];
    }
  | {
      readonly kind: 'take';
      readonly sealed: Uint8Array;
      readonly name: string;
      readonly key: Uint8Array;
      readonly frame: number;
      readonly takes: readonly PageTake[];
    }
  | {
      readonly kind: 'unseal';
      readonly sealed: Uint8Array;
      readonly name: string;
      readonly key: Uint8Array;
      readonly frame: number;
    };

export type ThreadResult =
  | {
      readonly kind: 'compare';
      readonly buffer: ArrayBuffer;
      readonly fates: Uint8Array;
      readonly digests: Uint8Array;
    }
  | { readonly kind: 'seal'; readonly buffer: ArrayBuffer; readonly sealed: ArrayBuffer }
  | { readonly kind: 'write' }
  | { readonly kind: 'differ'; readonly differs: Uint8Array }
  | { readonly kind: 'take'; readonly taken: TakenPages }
  | { readonly kind: 'unseal'; readonly raw: ArrayBuffer };

export type ThreadRequest = { readonly id: number; readonly task: ThreadTask };
export type ThreadReply =
  | { readonly id: number; readonly result: ThreadResult }
  | { readonly id: number; readonly error: RecordedError; readonly code: string | null };

type ResultOf<Task extends ThreadTask> = Extract<ThreadResult, { kind: Task['kind'] }>;
type Waiting = {
  readonly thread: number;
  settle(reply: ThreadReply): void;
  fail(error: Error): void;
};

export class ThreadPool {
  readonly #workers: Worker[];
  readonly #load: number[];
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #failure: CairnError | null = null;
  /** Answers when every thread is gone. */
  #ended: Promise<unknown> | null = null;

  constructor(threadCount: number, entry = new URL('./page-thread.ts', import.meta.url)) {
    this.#workers = Array.from({ length: threadCount }, () => new Worker(entry));
    this.#load = this.#workers.map(() => 0);
    this.#workers.forEach((worker, thread) => this.#listen(worker, thread));
  }

  get threadCount(): number {
    return this.#workers.length;
  }

  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** Buffers in `transfer` belong to the thread until the answer brings them back. */
  async run<Task extends ThreadTask>(task: Task, transfer: ArrayBuffer[]): Promise<ResultOf<Task>> {
    if (this.#failure) throw this.#failure;
    const id = this.#nextId++;
    const thread = this.#load.indexOf(Math.min(...this.#load));
    return await new Promise<ResultOf<Task>>((resolve, reject) => {
      this.#workers[thread]?.postMessage({ id, task } satisfies ThreadRequest, transfer);
      this.#waiting.set(id, {
        thread,
        settle: (reply) => {
          if ('error' in reply) reject(toError(reply.error, reply.code));
          else resolve(reply.result as ResultOf<Task>);
        },
        fail: reject,
      });
      this.#addLoad(thread, 1);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fail(new CairnError('cancelled', 'the page threads were closed'));
  }

  #listen(worker: Worker, thread: number): void {
    worker.on('message', (reply: ThreadReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      this.#addLoad(thread, -1);
      waiting?.settle(reply);
    });
    const died = (why: string, cause?: unknown): void => {
      void this.#fail(new CairnError('bug', `a page thread died: ${why}`, { cause }));
    };
    worker.on('error', (cause) => died(cause.message, cause));
    worker.on('messageerror', (cause) => died(cause.message, cause));
    worker.on('exit', (code) => died(`exit code ${code}`));
    worker.unref();
  }

  /** A thread keeps the process alive while it has work, and only then. */
  #addLoad(thread: number, change: 1 | -1): void {
    const load = (this.#load[thread] ?? 0) + change;
    this.#load[thread] = load;
    if (load === 0) this.#workers[thread]?.unref();
    else this.#workers[thread]?.ref();
  }

  /**
   * Tasks are told only when no thread runs any more: their callers close files whose descriptors
   * the threads write to, and the next file to be opened gets the same number.
   */
  async #fail(error: CairnError): Promise<void> {
    this.#failure ??= error;
    this.#ended ??= Promise.all(this.#workers.map((worker) => worker.terminate()));
    await this.#ended;
    for (const waiting of this.#waiting.values()) waiting.fail(this.#failure);
    this.#waiting.clear();
  }
}

function toError(recorded: RecordedError, code: string | null): CairnError {
  if (isDiskFull(code)) {
    return new CairnError('storage-full', 'no space left where the backup is restored to', {
      hint: 'free space there, or restore to another folder',
    });
  }
  const hint = recorded.hint === null ? {} : { hint: recorded.hint };
  return new CairnError(recorded.kind, recorded.message, hint);
}
