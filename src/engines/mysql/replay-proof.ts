// Whether stored binary logs are what was written behind a backup, without a gap. Pure.
//
// Nothing of it may be left to the tools that replay: without one file in the middle they end with
// success. So files must have numbers one after another, and must name each other where the server
// had the time to; each must begin behind exactly the transactions that lie before it, as its head
// tells; and the backup must end between two transactions, behind those that it says it holds.
import { CairnError } from '../../model/errors.ts';
import type { GtidDialect, GtidSet } from '../../model/gtid-set.ts';
import {
  advanceGtidSet,
  formatGtidSet,
  isSameGtidSet,
  parseGtidSet,
} from '../../model/gtid-set.ts';
import { describePlace, isLogMissing } from '../../model/log-position.ts';
import type { LogSourceFile } from '../engine.ts';
import { binlogMagic } from './binlog-event.ts';
import type { BinlogPosition, LogFact, ScannedTransaction } from './binlog-scan.ts';
import { requireBinlogPosition } from './binlog-scan.ts';

type Range = { readonly start: BinlogPosition; readonly end: BinlogPosition };

const gapHint = 'restore to a moment before the gap, or from a backup behind it';

/**
 * By what is known without reading: from the file in which the backup ends to that in which the log
 * does, all but the last complete. @throws log-gap naming the file
 */
export function assertFiles(files: readonly LogSourceFile[], { start, end }: Range): void {
  const [first] = files;
  if (!first || first.name !== start.file) {
    throw gap(`binary log ${start.file} is not stored, and the backup ends in it`);
  }
  if (requireBinlogPosition(first.startPosition).offsetBytes > binlogMagic.length) {
    throw gap(`binary log ${first.name} is not stored from its beginning`);
  }
  for (const [index, file] of files.entries()) {
    const next = files[index + 1];
    if (!next) break;
    if (!file.isComplete) throw gap(`binary log ${file.name} is not stored to its end`);
    const fileEnd = { ...start, file: file.name, offsetBytes: file.sizeBytes };
    if (!isLogMissing(fileEnd, next.startPosition)) continue;
    throw gap(`between binary logs ${file.name} and ${next.name} one is missing`);
  }
  const last = files.at(-1);
  const isLast = last?.name === end.file || end.offsetBytes <= binlogMagic.length;
  if (!isLast) throw gap(`binary log ${end.file} is not stored`);
}

/** Follows the facts of the log one by one. */
export class LogProof {
  readonly #start: BinlogPosition;
  readonly #dialect: GtidDialect;
  /** Null: a file does not tell what lies before it; then nothing can be compared. */
  #set: GtidSet | null = null;
  /** That the file before has named. */
  #nextFile: string | null = null;
  #isFirst = true;
  #hasStarted = false;
  /** Domains of MariaDB in which something was written since the log began to be read. */
  readonly #domains = new Set<number>();

  constructor(start: BinlogPosition, dialect: GtidDialect) {
    this.#start = start;
    this.#dialect = dialect;
  }

  /** All that was read, as the last head and the transactions behind it tell. */
  get gtidSet(): string | null {
    return this.#set && formatGtidSet(this.#set);
  }

  /** @throws log-gap naming the place, repository-damaged when it contradicts itself */
  take(fact: LogFact): void {
    switch (fact.kind) {
      case 'file':
        this.#takeHead(fact.file, fact.setBefore);
        return;
      case 'transaction':
        if (fact.isWhole) this.#takeTransaction(fact);
        return;
      case 'incident':
        throw gap(`binary log ${fact.file} says that it has lost events at ${fact.startBytes}`);
      case 'end':
        this.#nextFile = fact.nextFile;
        if (fact.file === this.#start.file) this.#reachStart(fact.endBytes);
    }
  }

  #takeHead(file: string, setBefore: GtidSet | null): void {
    if (this.#nextFile !== null && this.#nextFile !== file) {
      throw gap(`binary log ${this.#nextFile} is missing: ${file} does not follow`);
    }
    const known = this.#set;
    if (!this.#isFirst && known && setBefore && !this.#mayFollow(known, setBefore)) {
      const behind = `it begins behind ${formatGtidSet(setBefore) || 'no transaction'}`;
      const text = `${behind}, and what is stored before ends with ${formatGtidSet(known)}`;
      throw gap(`binary log ${file} does not follow: ${text}`);
    }
    this.#isFirst = false;
    this.#set = setBefore;
  }

  /** A domain that was not written to may have been dropped (`delete_domain_id`). */
  #mayFollow(known: GtidSet, setBefore: GtidSet): boolean {
    if (known.dialect === 'mysql' || setBefore.dialect === 'mysql') {
      return isSameGtidSet(known, setBefore);
    }
    const kept = [...known.lastOf].filter(([domain]) => {
      return setBefore.lastOf.has(domain) || this.#domains.has(domain);
    });
    return isSameGtidSet({ ...known, lastOf: new Map(kept) }, setBefore);
  }

  /** Nothing of the transaction is wanted, nor anything behind it. @throws log-gap */
  stopBefore({ file, startBytes, endBytes }: ScannedTransaction): void {
    const { offsetBytes } = this.#start;
    if (this.#hasStarted || file !== this.#start.file || endBytes <= offsetBytes) return;
    if (startBytes < offsetBytes) {
      throw gap(`the backup ends at ${describePlace(this.#start)}, within a transaction`);
    }
    this.#reachStart(startBytes);
  }

  #takeTransaction(transaction: ScannedTransaction): void {
    this.stopBefore(transaction);
    const { gtid } = transaction;
    if (!gtid) return;
    if (gtid.dialect === 'mariadb') this.#domains.add(gtid.domain);
    this.#set = this.#set && advanceGtidSet(this.#set, gtid);
  }

  #reachStart(reachedBytes: number): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    if (reachedBytes < this.#start.offsetBytes) {
      throw gap(
        `the backup ends at ${describePlace(this.#start)}, where binary log ` +
          `${this.#start.file} is not: it ends at ${reachedBytes}`,
      );
    }
    this.#compareStart();
  }

  /**
   * The backup tells more than the log does where a server is a replica as well, and nothing where
   * it has no ids. What both tell must be the same.
   */
  #compareStart(): void {
    const { gtidSet } = this.#start;
    const told = gtidSet === null ? null : parseGtidSet(gtidSet, this.#dialect);
    const known = this.#set;
    if (!told || !known || isSameGtidSet(told, known)) return;
    if (told.dialect === 'mariadb' && known.dialect === 'mariadb') {
      const isSame = [...known.lastOf].every(([domain, gtid]) => {
        const other = told.lastOf.get(domain);
        return other === undefined || other.sequence === gtid.sequence;
      });
      if (isSame) return;
    }
    const text = `the log there ends with ${formatGtidSet(known) || 'no transaction'}`;
    throw gap(
      `the backup ends at ${describePlace(this.#start)} with ${gtidSet || 'no transaction'}, but ` +
        `${text}: it is the log of another server`,
    );
  }
}

function gap(text: string): CairnError {
  return new CairnError('log-gap', text, { hint: gapHint });
}
