// How far a restore is. Every backup counts with its size once for each step: copied to where the
// server reads it, verified (not of log), restored.
import { readProgress } from './server-progress.ts';
import type { SqlInfo } from './session.ts';

export class RestoreProgress {
  readonly #onProgress: (phase: string, doneBytes: number, totalBytes: number) => void;
  readonly #totalBytes: number;
  #phase = 'preparing';
  #endedBytes = 0;
  #stepBytes = 0;
  #doneBytes = 0;

  constructor(
    totalBytes: number,
    onProgress: (phase: string, doneBytes: number, totalBytes: number) => void,
  ) {
    this.#totalBytes = totalBytes;
    this.#onProgress = onProgress;
  }

  /** The step before has come to its end, whatever was heard of it. */
  begin(phase: string, stepBytes: number): void {
    this.#endedBytes += this.#stepBytes;
    this.#doneBytes = 0;
    this.#stepBytes = stepBytes;
    this.#phase = phase;
    this.#tell();
  }

  add(bytes: number): void {
    this.#doneBytes += bytes;
    this.#tell();
  }

  /** What the server says of a long statement. */
  readonly onInfo = (info: SqlInfo): void => {
    const fraction = readProgress(info);
    if (fraction === null) return;
    this.#doneBytes = Math.round(this.#stepBytes * fraction);
    this.#tell();
  };

  #tell(): void {
    const done = this.#endedBytes + Math.min(this.#doneBytes, this.#stepBytes);
    this.#onProgress(this.#phase, Math.min(done, this.#totalBytes), this.#totalBytes);
  }
}
