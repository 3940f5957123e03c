import type { JobProgress } from '../model/job.ts';
import type { Clock } from '../platform/clock.ts';

/** The rate is the mean of this span, so that it neither jumps nor hides a stall. */
const windowMs = 10_000;
const sampleEveryMs = 1_000;

type Sample = { readonly atMs: number; readonly doneBytes: number };
type Report = Omit<JobProgress, 'bytesPerSecond'>;

/** Turns the reports of a job into what is shown of it. */
export class ProgressMeter {
  readonly #clock: Clock;
  #samples: Sample[] = [];
  #latest: Report | null = null;
  #hasNews = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Cheap: a job may call it for every buffer. */
  report(report: Report): void {
    const atMs = this.#clock.monotonicMs();
    const previous = this.#latest;
    if (report.phase !== previous?.phase || report.doneBytes < previous.doneBytes) {
      this.#samples = [];
    }
    const last = this.#samples.at(-1);
    if (!last || atMs - last.atMs >= sampleEveryMs) {
      this.#samples.push({ atMs, doneBytes: report.doneBytes });
      this.#forget(atMs);
    }
    this.#latest = report;
    this.#hasNews = true;
  }

  get hasNews(): boolean {
    return this.#hasNews;
  }

  /** Null while nothing was reported. The news are old from here on. */
  read(): JobProgress | null {
    this.#hasNews = false;
    if (!this.#latest) return null;
    const nowMs = this.#clock.monotonicMs();
    this.#forget(nowMs);
    const first = this.#samples[0];
    const spanMs = first ? nowMs - first.atMs : 0;
    const bytes = first ? this.#latest.doneBytes - first.doneBytes : 0;
    const bytesPerSecond = spanMs > 0 ? Math.round((bytes * 1000) / spanMs) : 0;
    return { ...this.#latest, bytesPerSecond };
  }

  /** Keeps one sample that is older than the window: the rate is measured from it. */
  #forget(nowMs: number): void {
    while (this.#samples.length > 1 && nowMs - (this.#samples[1]?.atMs ?? nowMs) >= windowMs) {
      this.#samples.shift();
    }
  }
}
