// How far the archive has come in the log of each database, by the server's history: a stream of
// log is many chains, one of each database, and each must go on where it ended.
import type { BackupRecord } from './backup-record.ts';
import type { LogHistory, OwnLog } from './log-history.ts';
import { explainBreak, explainForeign, isLinked } from './log-links.ts';
import type { FoundDatabase } from './server-databases.ts';

export type ChainBounds = {
  /** Backups that began before are not in the stream, also where they ended later. */
  readonly startMoment: string;
  /** The newest backup in the history when the stream began: what is older is not in it. */
  readonly beganId: number;
  /** The newest of ours that was stored when this attempt began. */
  readonly storedId: number;
};

export class LogChains {
  readonly #history: LogHistory;
  readonly #bounds: ChainBounds;
  readonly #ends = new Map<string, BackupRecord | null>();

  constructor(history: LogHistory, bounds: ChainBounds) {
    this.#history = history;
    this.#bounds = bounds;
  }

  /** The last backup of its log in the stream; null: there is none, and any may be the first. */
  async findEnd(database: string): Promise<BackupRecord | null> {
    const known = this.#ends.get(database);
    if (known !== undefined) return known;
    const { startMoment, beganId, storedId } = this.#bounds;
    const last = await this.#history.findLastOwn(database, storedId);
    const isInStream = last !== null && last.record.setId > beganId && isBehind(last, startMoment);
    const end = isInStream ? last.record : null;
    this.#ends.set(database, end);
    return end;
  }

  /** Ours behind that, the oldest first: each is to be sent. */
  async readNew(database: string): Promise<readonly OwnLog[]> {
    const end = await this.findEnd(database);
    const afterId = end?.setId ?? this.#bounds.storedId;
    const { own } = await this.#history.readSince(database, afterId);
    return own.filter((log) => isBehind(log, this.#bounds.startMoment));
  }

  /** Before anything is taken that could not be used. @throws log-gap */
  async checkUntouched({ name, nextLogLsn }: FoundDatabase): Promise<void> {
    const end = await this.findEnd(name);
    if (end === null || nextLogLsn === null || nextLogLsn === end.lastLsn) return;
    const { records } = await this.#history.readSince(name, end.setId);
    const gap = explainForeign(end, { records, isOwn: (record) => this.#history.isOwn(record) });
    if (gap !== null) throw gap;
  }

  /** Whether it goes on where the last one ended; it is the last one now. @throws log-gap */
  async append({ record }: OwnLog): Promise<void> {
    const end = await this.findEnd(record.database);
    if (end !== null && !isLinked(end, record)) {
      const { records } = await this.#history.readSince(record.database, end.setId);
      const isOwn = (one: BackupRecord): boolean => this.#history.isOwn(one);
      throw explainBreak(end, record, { records, isOwn });
    }
    this.#ends.set(record.database, record);
  }
}

export function isBehind({ name }: OwnLog, moment: string): boolean {
  return name.moment > moment;
}
