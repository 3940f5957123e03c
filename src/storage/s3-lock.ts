// Object lock (Amazon S3 User Guide, "Locking objects with Object Lock"): a version with a
// retention cannot be deleted before its end, whoever asks. Locks are given for the days of the
// address and some more, so that a renewal now and then keeps the promise of the days:
//
//   locked for   days + 2 + days/4   when the lock is written
//   renewed at   days + 2            so two days without a renewal break no promise
//
// Ends are read from the store, since another process or person may have moved them; what was read
// or written is remembered for less than a day, as backups that follow each other ask again.
import { CairnError } from '../model/errors.ts';
import { runBounded } from '../platform/bounded.ts';
import type { S3Requests } from './s3-requests.ts';
import type { Retention } from './s3-retention.ts';
import { assertRetention, probeLock, readRetention, writeRetention } from './s3-retention.ts';
import { listVersions } from './s3-versions.ts';
import type { LockTerms, ObjectLock, ObjectVersion } from './storage.ts';

const dayMs = 24 * 3_600_000;
const spareDays = 2;
const requestsInFlight = 16;
const rememberedMs = 20 * 3_600_000;
const rememberedMax = 100_000;

type Remembered = Retention & { readonly readAtMs: number };

export class S3Lock implements ObjectLock {
  readonly terms: LockTerms;
  readonly longestMs: number;
  readonly #requests: S3Requests;
  readonly #remembered = new Map<string, Remembered>();
  #isProven = false;

  constructor(requests: S3Requests, terms: LockTerms) {
    this.#requests = requests;
    this.terms = terms;
    this.longestMs = (terms.days + spareDays + Math.ceil(terms.days / 4)) * dayMs;
  }

  listVersions(prefix: string, signal: AbortSignal): AsyncIterable<ObjectVersion> {
    return listVersions(this.#requests, prefix, signal);
  }

  async extend(
    versions: Iterable<ObjectVersion>,
    which: 'all' | 'locked',
    signal: AbortSignal,
  ): Promise<number> {
    let count = 0;
    await runBounded(versions, requestsInFlight, async (version) => {
      if (version.isDeletion) return;
      const found = await this.#recall(version, signal);
      if (found === null && which === 'locked') return;
      const nowMs = this.#storeNowMs();
      if (found !== null && isLongEnough(found.endMs - nowMs, this.terms)) return;
      // Compliance never becomes governance again.
      const mode = found?.mode === 'compliance' ? 'compliance' : this.terms.mode;
      await this.#write(version, { mode, endMs: nowMs + this.longestMs }, signal);
      count++;
    });
    return count;
  }

  async findEnd(version: ObjectVersion, signal: AbortSignal): Promise<Date | null> {
    const found = await readRetention(this.#requests, version, signal);
    return found && new Date(found.endMs);
  }

  async probe(signal: AbortSignal): Promise<void> {
    const { mode } = this.terms;
    await probeLock(this.#requests, { mode, nowMs: this.#storeNowMs(), signal });
  }

  async #recall(version: ObjectVersion, signal: AbortSignal): Promise<Retention | null> {
    const known = this.#remembered.get(keyOf(version));
    const nowMs = this.#requests.parts.clock.monotonicMs();
    if (known && nowMs - known.readAtMs < rememberedMs) return known;
    const found = await readRetention(this.#requests, version, signal);
    if (found) this.#remember(version, found);
    return found;
  }

  #remember(version: ObjectVersion, retention: Retention): void {
    if (this.#remembered.size >= rememberedMax) this.#remembered.clear();
    const readAtMs = this.#requests.parts.clock.monotonicMs();
    this.#remembered.set(keyOf(version), { ...retention, readAtMs });
  }

  async #write(version: ObjectVersion, retention: Retention, signal: AbortSignal): Promise<void> {
    const what = { retention, signal };
    await writeRetention(this.#requests, version, what);
    if (!this.#isProven) await assertRetention(this.#requests, version, what);
    this.#isProven = true;
    this.#remember(version, retention);
  }

  /** @throws storage-unavailable */
  #storeNowMs(): number {
    const { connection, clock, location } = this.#requests.parts;
    const skewMs = connection.skewMs();
    if (skewMs !== null) return clock.now().getTime() + skewMs;
    throw new CairnError('storage-unavailable', `${location} tells no time`, {
      hint: 'nothing is locked by the clock of this machine alone, which may be wrong by years',
    });
  }
}

function isLongEnough(leftMs: number, { days }: LockTerms): boolean {
  return leftMs >= (days + spareDays) * dayMs;
}

function keyOf({ name, versionId }: ObjectVersion): string {
  return `${versionId} ${name}`;
}
