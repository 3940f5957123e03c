// Tables whose engine has no transactions are not in the snapshot of a dump: each is read when its
// turn comes. A row that came between the snapshot and that moment is in the dump, and in the log
// behind the snapshot as well; replayed, it would be there twice. So a backup notes such tables,
// and where the log ended when all of them had been read. Until there, nothing that writes to them
// may be replayed. Pure.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { CairnError } from '../../model/errors.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { EngineNotes } from '../engine.ts';
import type { BinlogEvent, TableName } from './binlog-event.ts';
import { eventTypes, parseTableMap } from './binlog-event.ts';
import { readStatement } from './binlog-statement.ts';
import type { BinlogEnd } from './log-server.ts';

const OutsideNotes = Type.Object({
  /** `all`: too many to be named; none counts as safe. */
  tablesOutsideSnapshot: Type.Union([
    Type.Literal('all'),
    Type.Array(Type.Object({ database: Type.String(), tables: Type.Array(Type.String()) })),
  ]),
  /** Where the binary log ended when the dump had. */
  dumpEnd: Type.Object({ file: Type.String(), offsetBytes: Type.Integer({ minimum: 0 }) }),
});
/** Part of the notes of a backup that log is replayed on. */
export type OutsideNotes = Readonly<Static<typeof OutsideNotes>>;

const tablesMax = 10_000;
const tablesShownMax = 3;

export function describeOutside(tables: readonly TableName[], dumpEnd: BinlogEnd): OutsideNotes {
  if (tables.length > tablesMax) return { tablesOutsideSnapshot: 'all', dumpEnd };
  const groups = Map.groupBy(tables, ({ database }) => database);
  const named = [...groups].map(([database, own]) => {
    return { database, tables: own.map(({ table }) => table) };
  });
  return { tablesOutsideSnapshot: named, dumpEnd };
}

/** Null: the backup says nothing of them, or has none. @throws repository-damaged */
export function readOutside(notes: EngineNotes): OutsideNotes | null {
  const { tablesOutsideSnapshot, dumpEnd } = notes;
  if (tablesOutsideSnapshot === undefined && dumpEnd === undefined) return null;
  const value: unknown = { tablesOutsideSnapshot, dumpEnd };
  if (!Value.Check(OutsideNotes, value)) {
    throw new CairnError('repository-damaged', 'the notes of the logical backup make no sense');
  }
  return value.tablesOutsideSnapshot.length === 0 ? null : value;
}

/** Statements that change no row, or do the same when done twice. */
const harmlessPattern = new RegExp(
  '^(?:\\s|/\\*[^*!]*\\*/)*(?:(?:ANALYZE|OPTIMIZE|REPAIR)\\s+TABLE|ALTER|CREATE|DROP|FLUSH|GRANT|' +
    'RENAME|REVOKE|SET(?!\\s+STATEMENT)|TRUNCATE)\\b',
  'i',
);

/** Looks for writes to such tables, event by event. */
export class OutsideWatch {
  readonly #end: BinlogEnd;
  /** Of the databases that have such tables, in lower case: as servers may write names. */
  readonly #databases: ReadonlyMap<string, readonly string[]>;
  readonly #tables: ReadonlySet<string>;
  readonly #isAll: boolean;

  constructor({ tablesOutsideSnapshot: outside, dumpEnd }: OutsideNotes) {
    this.#end = dumpEnd;
    this.#isAll = outside === 'all';
    const named = outside === 'all' ? [] : outside;
    this.#databases = new Map(
      named.map(({ database, tables }) => [
        database.toLowerCase(),
        tables.map((table) => `${database}.${table}`),
      ]),
    );
    this.#tables = new Set(
      named.flatMap(({ database, tables }) => tables.map((table) => keyOf({ database, table }))),
    );
  }

  /** Whether the dump may hold what the transaction that begins there does. */
  covers(file: string, startBytes: number): boolean {
    const at = { engine: 'mysql', file, offsetBytes: startBytes, gtidSet: null } as const;
    return compareLogPositions(at, { ...at, ...this.#end }) < 0;
  }

  /** What such a transaction does to them with the event, in words; null: nothing. */
  find(event: BinlogEvent): string | null {
    if (event.header.type !== eventTypes.tableMap) return this.#findStatement(event);
    const name = parseTableMap(event);
    const isOutside = this.#isAll || this.#tables.has(keyOf(name));
    return isOutside ? `writes to table ${name.database}.${name.table}` : null;
  }

  /**
   * A statement that was logged itself does not tell which tables it writes to: views, triggers and
   * functions may. From another database most have to name the one that they reach.
   * Compressed payloads of MySQL 8 hold no statement and no table without transactions (manual,
   * "Binary Log Transaction Compression").
   */
  #findStatement(event: BinlogEvent): string | null {
    const read = readStatement(event);
    if (!read) return null;
    const { schema, statement } = read;
    if (statement !== null && harmlessPattern.test(statement)) return null;
    const names = this.#reachable(schema.toLowerCase(), statement?.toLowerCase() ?? null);
    if (!names) return null;
    const more = names.length > tablesShownMax ? ` and ${names.length - tablesShownMax} more` : '';
    const shown = names.slice(0, tablesShownMax).join(', ') + more;
    const where = schema === '' ? '' : ` in database ${schema}`;
    return `is a statement${where} that may write to ${shown || 'any table'}`;
  }

  #reachable(schema: string, statement: string | null): readonly string[] | null {
    if (this.#isAll) return [];
    const own = this.#databases.get(schema);
    if (own) return own;
    const reached = [...this.#databases].filter(([database]) => {
      return statement === null || statement.includes(database);
    });
    return reached.length === 0 ? null : reached.flatMap(([, tables]) => tables);
  }
}

function keyOf({ database, table }: TableName): string {
  return `${database}\0${table}`.toLowerCase();
}
