// What the server's history tells of backups of the log: the proof that one of ours exists, which
// ones others have taken, and how far this archive had come before. Ours are known by the names of
// their devices, whatever folder they were in.
import type { BackupRecord } from './backup-record.ts';
import { findBackupRow, parseBackupRow } from './backup-record.ts';
import type { LogName } from './log-names.ts';
import { exchangeMoment, exchangePrefix, findLogName } from './log-names.ts';
import type { SqlRow, SqlSession } from './session.ts';
import type { SqlStatement } from './statement.ts';
import {
  backupHistoryStatement,
  historyPageMax,
  lastLogByDeviceStatement,
  logsByDeviceStatement,
  newestBackupStatement,
} from './tsql-history.ts';

/** A backup of the log that this archive has taken. */
export type OwnLog = {
  readonly name: LogName;
  readonly record: BackupRecord;
  /** Of the certificate that the server has encrypted it with; null: it has not. */
  readonly encryptorThumbprint: string | null;
  /** The file has no fewer; null: the history does not tell. */
  readonly sizeMinBytes: number | null;
};

export type DatabaseHistory = {
  /** All of them, whoever took them, the oldest first. */
  readonly records: readonly BackupRecord[];
  /** The ones of them that are ours. */
  readonly own: readonly OwnLog[];
};

export class LogHistory {
  readonly #session: SqlSession;
  readonly #keeperName: string;
  readonly #signal: AbortSignal;

  constructor(session: SqlSession, keeperName: string, signal: AbortSignal) {
    this.#session = session;
    this.#keeperName = keeperName;
    this.#signal = signal;
  }

  /** The number of the newest backup of this server; 0: there is none. */
  async readNewestId(): Promise<number> {
    const [row] = await this.#run(newestBackupStatement());
    return Number(row?.['backup_set_id'] ?? 0);
  }

  /** Ours of that moment. */
  async findAt(moment: string): Promise<OwnLog | null> {
    const device = `${exchangePrefix(this.#keeperName)}${exchangeMoment(moment)}-`;
    const [row] = await this.#run(logsByDeviceStatement(device, 0));
    return row === undefined ? null : this.#findOwn(row);
  }

  /** Ours of all databases that come after a backup, the oldest first. */
  async readOwnSince(afterId: number): Promise<readonly OwnLog[]> {
    const device = exchangePrefix(this.#keeperName);
    const rows = await this.#readAll((id) => logsByDeviceStatement(device, id), afterId);
    return rows.flatMap((row) => this.#findOwn(row) ?? []);
  }

  /** The last one of ours up to that number. */
  async findLastOwn(database: string, untilId: number): Promise<OwnLog | null> {
    const device = exchangePrefix(this.#keeperName);
    const [row] = await this.#run(lastLogByDeviceStatement(database, device, untilId));
    return row === undefined ? null : this.#findOwn(row);
  }

  /** What has become of one database since. */
  async readSince(database: string, afterId: number): Promise<DatabaseHistory> {
    const rows = await this.#readAll((id) => backupHistoryStatement(database, id), afterId);
    const own = rows.flatMap((row) => this.#findOwn(row) ?? []);
    // What others have written to the history may be odd: it explains, and proves nothing.
    return { records: rows.flatMap((row) => findBackupRow(row) ?? []), own };
  }

  isOwn({ device }: BackupRecord): boolean {
    return device !== null && findLogName(this.#keeperName, device) !== null;
  }

  #findOwn(row: SqlRow): OwnLog | null {
    const device = row['physical_device_name'];
    const name = typeof device === 'string' ? findLogName(this.#keeperName, device) : null;
    if (name === null) return null;
    const record = parseBackupRow(row);
    if (record.type !== 'log') return null;
    const thumbprint = row['encryptor_thumbprint'];
    const encryptorThumbprint = typeof thumbprint === 'string' ? thumbprint : null;
    const sizeBytes = Number(row['compressed_backup_size'] ?? Number.NaN);
    const sizeMinBytes = Number.isSafeInteger(sizeBytes) ? sizeBytes : null;
    return { name, record, encryptorThumbprint, sizeMinBytes };
  }

  async #readAll(page: (afterId: number) => SqlStatement, afterId: number): Promise<SqlRow[]> {
    const all: SqlRow[] = [];
    for (let lastId = afterId; ; ) {
      const rows = await this.#run(page(lastId));
      all.push(...rows);
      if (rows.length < historyPageMax) return all;
      lastId = Number(rows.at(-1)?.['backup_set_id']);
    }
  }

  async #run(statement: SqlStatement): Promise<readonly SqlRow[]> {
    return await this.#session.run(statement, { signal: this.#signal });
  }
}
