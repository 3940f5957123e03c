// How far a backup of several databases is: for each the server writes first, then Cairn stores,
// and each counts for half of the size of the database.
export class BackupProgress {
  readonly #onProgress: (doneBytes: number, totalBytes: number | null) => void;
  readonly #totalBytes: number | null;
  #endedBytes = 0;
  #sizeBytes = 0;
  #toldBytes = -1;

  /** Sizes are null where the login may not see them: then the total is not known either. */
  constructor(
    sizes: readonly (number | null)[],
    onProgress: (doneBytes: number, totalBytes: number | null) => void,
  ) {
    this.#onProgress = onProgress;
    this.#totalBytes = sizes.every((size) => size !== null)
      ? sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
      : null;
  }

  begin(sizeBytes: number | null): void {
    this.#endedBytes += this.#sizeBytes;
    this.#sizeBytes = sizeBytes ?? 0;
    this.#tell(0);
  }

  /** Fractions are from 0 to 1. */
  written(fraction: number): void {
    this.#tell(fraction / 2);
  }

  stored(fraction: number): void {
    this.#tell(0.5 + fraction / 2);
  }

  /** A statement that is sent anew does not make it go back. */
  #tell(fraction: number): void {
    const done = this.#endedBytes + Math.round(this.#sizeBytes * Math.min(1, fraction));
    if (done <= this.#toldBytes) return;
    this.#toldBytes = done;
    this.#onProgress(done, this.#totalBytes);
  }
}
