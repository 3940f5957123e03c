// Reads stored binary logs and tells what is in them, transaction by transaction, in the order in
// which they were committed. Memory for one event. What is told is judged elsewhere
// (`replay-proof.ts`, `replay-target.ts`).
//
// A transaction is a group of events: it begins with the event that tells its id and ends before
// the next such event, or before one that belongs to the file itself. Only what has its last event
// (a commit, or a statement that commits by itself) is whole: a file that was being written when
// the server died, or of which not all is stored, may end within a transaction, which never was
// one.
import { CairnError } from '../../model/errors.ts';
import type { Gtid, GtidSet } from '../../model/gtid-set.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { LogSource, LogSourceFile } from '../engine.ts';
import { binlogMagic, eventTypes, parseRotate } from './binlog-event.ts';
import { isSetBefore, parseSetBefore, parseTransactionStart } from './binlog-gtid.ts';
import type { FileEvent } from './binlog-reader.ts';
import { readEvents } from './binlog-reader.ts';
import { endsTransaction, isOfTransaction, statementOf } from './binlog-statement.ts';
import type { OutsideWatch } from './outside-snapshot.ts';

export type BinlogPosition = Extract<LogPosition, { readonly engine: 'mysql' }>;

export type LogFact =
  /** A file begins; null: it does not tell what lies before it. */
  | { readonly kind: 'file'; readonly file: string; readonly setBefore: GtidSet | null }
  | ScannedTransaction
  /** The server itself says that its log is not complete there. */
  | { readonly kind: 'incident'; readonly file: string; readonly startBytes: number }
  /** Behind the last event of a file, or where the wanted log ends in it. */
  | {
      readonly kind: 'end';
      readonly file: string;
      readonly endBytes: number;
      /** As the file says it; null: the server has ended, or more of the file would follow. */
      readonly nextFile: string | null;
    };

export type ScannedTransaction = {
  readonly kind: 'transaction';
  /** Null: the server gives none. */
  readonly gtid: Gtid | null;
  readonly file: string;
  readonly startBytes: number;
  readonly endBytes: number;
  readonly committed: CommitTime;
  /** The first one, shortened; null: the log does not tell it. */
  readonly statement: string | null;
  readonly isWhole: boolean;
  /** What it does that the backup may hold already, in words; null: nothing that is known. */
  readonly doubled: string | null;
};

/**
 * By the server's clock. MySQL 8 notes when a commit was written. Others note when the statement
 * that committed had begun, in whole seconds: the commit itself is not earlier.
 */
export type CommitTime =
  | { readonly kind: 'exact'; readonly micros: bigint }
  | { readonly kind: 'not-before'; readonly seconds: number };

/**
 * The facts of the files, which are those that the log source lists, up to the end of the log.
 * Of transactions that the watch covers it is told what they do to the tables that it knows.
 * @throws log-gap when fewer bytes are stored than are listed; storage errors, repository-damaged
 */
export async function* scanLog(
  log: Pick<LogSource, 'endPosition' | 'streamFile'>,
  files: readonly LogSourceFile[],
  signal: AbortSignal,
  watch: OutsideWatch | null = null,
): AsyncGenerator<LogFact> {
  const end = requireBinlogPosition(log.endPosition);
  for (const file of files) {
    const untilBytes = file.name === end.file ? end.offsetBytes : file.sizeBytes;
    if (untilBytes <= binlogMagic.length) continue;
    const chunks = log.streamFile(file.name, signal);
    yield* scanFile(file.name, chunks, { untilBytes, watch });
  }
}

/** @throws bug for a position of another engine */
export function requireBinlogPosition(position: LogPosition): BinlogPosition {
  if (position.engine === 'mysql') return position;
  throw new CairnError('bug', `a position of ${position.engine} is none in a binary log`);
}

/** A transaction as far as it was read. */
type Draft = {
  readonly gtid: Gtid | null;
  readonly startBytes: number;
  /** One statement that commits by itself; MySQL says so by having no `BEGIN` before it. */
  isStandalone: boolean;
  readonly committedAtMicros: bigint | null;
  endBytes: number;
  seconds: number;
  statement: string | null;
  isWhole: boolean;
  /** Null: nothing of it can be in the backup. */
  readonly watch: OutsideWatch | null;
  doubled: string | null;
};

type FileScan = { readonly untilBytes: number; readonly watch: OutsideWatch | null };

async function* scanFile(
  file: string,
  chunks: AsyncIterable<Uint8Array>,
  { untilBytes, watch }: FileScan,
): AsyncGenerator<LogFact> {
  let draft: Draft | null = null;
  let setBefore: GtidSet | null = null;
  let isBegun = false;
  let nextFile: string | null = null;
  let endBytes: number = binlogMagic.length;
  for await (const event of readEvents(chunks, file)) {
    if (event.endBytes > untilBytes) break;
    endBytes = event.endBytes;
    if (isSetBefore(event)) setBefore = parseSetBefore(event);
    if (event.header.type === eventTypes.rotate) nextFile = parseRotate(event).file;
    const start = parseTransactionStart(event);
    const isInside = isOfTransaction(event.header.type);
    if ((start || isInside) && !isBegun) {
      isBegun = true;
      yield { kind: 'file', file, setBefore };
    }
    if (draft && (start || !isInside)) {
      yield finish(draft, file);
      draft = null;
    }
    if (event.header.type === eventTypes.incident) {
      yield { kind: 'incident', file, startBytes: event.startBytes };
    }
    if (start) {
      const isCovered = watch?.covers(file, event.startBytes) ?? false;
      draft = beginDraft(start, event, isCovered ? watch : null);
    } else if (draft && isInside) extend(draft, event);
    else if (isInside) throw outsideError(file, event);
    if (endBytes === untilBytes) break;
  }
  if (!isBegun) yield { kind: 'file', file, setBefore };
  if (draft) yield finish(draft, file);
  yield { kind: 'end', file, endBytes, nextFile };
  if (endBytes !== untilBytes) throw shortError(file, endBytes, untilBytes);
}

function beginDraft(
  start: NonNullable<ReturnType<typeof parseTransactionStart>>,
  { startBytes, endBytes, header }: FileEvent,
  watch: OutsideWatch | null,
): Draft {
  const { gtid, committedAtMicros } = start;
  const isStandalone = start.isStandalone || gtid?.dialect !== 'mariadb';
  const seconds = header.atSeconds;
  const place = { startBytes, endBytes, seconds };
  const empty = { statement: null, isWhole: false, doubled: null };
  return { gtid, isStandalone, committedAtMicros, ...place, watch, ...empty };
}

function extend(draft: Draft, event: FileEvent): void {
  const text = statementOf(event);
  draft.endBytes = event.endBytes;
  if (text?.kind === 'begin') draft.isStandalone = false;
  if (text?.kind === 'statement') draft.statement ??= text.text;
  draft.isWhole = endsTransaction(event, text, draft);
  draft.doubled ??= draft.watch?.find(event) ?? null;
  if (draft.isWhole) draft.seconds = Math.max(draft.seconds, event.header.atSeconds);
}

function finish(draft: Draft, file: string): ScannedTransaction {
  const { gtid, startBytes, endBytes, statement, isWhole, doubled } = draft;
  const { committedAtMicros, seconds } = draft;
  const committed: CommitTime =
    committedAtMicros === null
      ? { kind: 'not-before', seconds }
      : { kind: 'exact', micros: committedAtMicros };
  const place = { file, startBytes, endBytes };
  return { kind: 'transaction', gtid, ...place, committed, statement, isWhole, doubled };
}

function outsideError(file: string, { startBytes, header }: FileEvent): CairnError {
  const what = `an event (type ${header.type}) that belongs to no transaction`;
  return new CairnError('engine-refused', `binary log ${file} has at ${startBytes} ${what}`, {
    hint: 'the logs of servers before MySQL 5.7 that run without gtid_mode cannot be replayed',
  });
}

function shortError(file: string, endBytes: number, untilBytes: number): CairnError {
  const text = `of binary log ${file} whole events are stored up to ${endBytes} only`;
  return new CairnError('log-gap', `${text}, not up to ${untilBytes}`, {
    hint: 'restore to an earlier moment, or to the end of a backup',
  });
}
