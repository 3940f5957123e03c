// What the events of a transaction say of it: its statement, and whether it ends there. Pure.
import type { BinlogEvent, QueryEvent } from './binlog-event.ts';
import { eventTypes, parseAnnotateRows, parseQuery, parseRowsQuery } from './binlog-event.ts';

export type EventText =
  /** `BEGIN`, a savepoint and their like, and what ends them: nothing that somebody asks for. */
  | { readonly kind: 'begin' | 'frame' | 'commit' }
  | { readonly kind: 'statement'; readonly text: string };

const statementCharactersMax = 500;
/** What comes behind may be a password, which servers write into their logs as it was typed. */
const secretPattern = /identified|password/i;
const statementBytesMax = 4 * statementCharactersMax;
/** What may precede the statement in a query event: status variables and the schema's name. */
const queryHeadBytesMax = 66_000;

/** Those that belong to the file, or to the server, and end a transaction that is cut short. */
const fileTypes: ReadonlySet<number> = new Set([
  ...[eventTypes.stop, eventTypes.rotate, eventTypes.formatDescription, eventTypes.incident],
  ...[eventTypes.heartbeat, eventTypes.heartbeat2, eventTypes.previousGtids],
  ...[eventTypes.mariadbBinlogCheckpoint, eventTypes.mariadbGtidList],
  eventTypes.mariadbStartEncryption,
]);

/** Whether an event of the type is part of what is replayed. */
export function isOfTransaction(type: number): boolean {
  return !fileTypes.has(type);
}

/** Null for an event without a statement, or with one that is compressed. */
export function statementOf(event: BinlogEvent): EventText | null {
  const { header, body } = event;
  switch (header.type) {
    case eventTypes.mariadbAnnotateRows:
      return statement(parseAnnotateRows({ ...event, body: head(body, statementBytesMax) }));
    case eventTypes.rowsQuery:
      return statement(parseRowsQuery({ ...event, body: head(body, statementBytesMax) }));
    case eventTypes.query:
      return classify(parseQueryHead(event).statement);
    default:
      return null;
  }
}

/**
 * A statement that was logged itself, instead of the rows that it wrote: its beginning, or null
 * where it is compressed. Null for other events, and for what only frames a transaction.
 */
export function readStatement(
  event: BinlogEvent,
): { readonly schema: string; readonly statement: string | null } | null {
  switch (event.header.type) {
    case eventTypes.query: {
      const query = parseQueryHead(event);
      return classify(query.statement).kind === 'statement' ? query : null;
    }
    case eventTypes.executeLoadQuery:
      return parseQueryHead(event);
    case eventTypes.mariadbQueryCompressed:
      return { schema: parseQueryHead(event).schema, statement: null };
    default:
      return null;
  }
}

function parseQueryHead(event: BinlogEvent): QueryEvent {
  const queryBytesMax = queryHeadBytesMax + statementBytesMax;
  return parseQuery({ ...event, body: head(event.body, queryBytesMax) });
}

/** Whether a transaction is whole with the event; `text` is what the event says. */
export function endsTransaction(
  { header }: BinlogEvent,
  text: EventText | null,
  { isStandalone }: { readonly isStandalone: boolean },
): boolean {
  switch (header.type) {
    case eventTypes.xid:
    case eventTypes.xaPrepare:
    case eventTypes.transactionPayload:
      return true;
    case eventTypes.mariadbQueryCompressed:
      return isStandalone;
    case eventTypes.query:
      return text?.kind === 'commit' || (text?.kind === 'statement' && isStandalone);
    default:
      return false;
  }
}

function classify(text: string): EventText {
  if (/^(BEGIN|XA START)\b/i.test(text)) return { kind: 'begin' };
  if (/^(SAVEPOINT|ROLLBACK TO|XA END)\b/i.test(text)) return { kind: 'frame' };
  if (/^(COMMIT|ROLLBACK|XA COMMIT|XA ROLLBACK)\b/i.test(text)) return { kind: 'commit' };
  return statement(text);
}

function statement(text: string): EventText {
  return { kind: 'statement', text: shortenStatement(text, statementCharactersMax) };
}

/** Also cut where a password may follow. */
export function shortenStatement(text: string, charactersMax: number): string {
  const secret = text.search(secretPattern);
  const shown = text.slice(0, secret >= 0 ? secret : undefined);
  if (shown.length === text.length && text.length <= charactersMax) return text;
  return `${shown.slice(0, charactersMax - 1)}…`;
}

function head(bytes: Uint8Array, lengthMax: number): Uint8Array {
  return bytes.subarray(0, lengthMax);
}
