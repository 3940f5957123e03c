// Reads along while `mariadb-dump --databases …` (or `mysqldump`) writes what several databases
// contain, as of one moment, and takes it apart (observed with 10.11; MySQL manual, "mysqldump"):
//
//   settings │ of each database: tables with their rows, triggers, events, routines │
//            │ of each database again: its views │ settings
//
// Every database becomes a text of its own, without its name, in parts that load one after another:
// what a table needs comes before what may speak of any table. Rows are counted on the way, as the
// tuples of the INSERT statements. Comments are left out; the one that says where the binary log
// stood is read.
import type { StatementEvent } from './logical-statements.ts';
import { malformed, StatementReader } from './logical-statements.ts';

/** In the order in which they load. */
export const dumpParts = ['head', 'tables', 'programs', 'views', 'tail'] as const;
export type DumpPart = (typeof dumpParts)[number];

/** A stretch of the text of a database. */
export type DumpSegment = {
  readonly database: string;
  readonly part: DumpPart;
  /** Of the part `tables`: whose rows these are. */
  readonly table: string | null;
  readonly bytes: Uint8Array;
};

export type DumpedTable = { readonly name: string; rows: number };

export type DumpedText = {
  /** In the order of the dump. */
  readonly tables: readonly DumpedTable[];
  /** A server takes none that is larger than its `max_allowed_packet`. */
  readonly largestStatementBytes: number;
  /** Accounts on whose behalf views, routines, triggers and events run, as SQL writes them. */
  readonly definers: readonly string[];
};

export type DumpPosition = {
  readonly file: string;
  readonly offsetBytes: number;
  readonly gtidSet: string | null;
};

type Database = {
  readonly tables: Map<string, DumpedTable>;
  readonly definers: Set<string>;
  largestStatementBytes: number;
};

/** Where a statement belongs. */
type Place =
  | { readonly kind: 'preamble' | 'postamble' | 'nowhere' }
  | { readonly kind: 'part'; readonly part: DumpPart };

const lineBreak = Buffer.from('\n');
const preambleBytesMax = 2 ** 20;

const name = '`((?:[^`]|``)*)`';
const tableStatements = [
  '(?:DROP|CREATE) (?:TABLE|SEQUENCE)\\b',
  '(?:DO|SELECT) SETVAL\\b',
  '/\\*!40000 ALTER TABLE',
  // Settings around the definition of a table, and around rows of the past.
  '/\\*!(?:40\\d{3}|50503|50717) S',
  '/\\*M!\\d+ SET',
];
const patterns = {
  use: new RegExp(`^USE ${name}`),
  createDatabase: /^CREATE DATABASE /,
  lock: new RegExp(`^LOCK TABLES ${name} `),
  unlock: /^UNLOCK TABLES/,
  insert: new RegExp(`^(?:INSERT|REPLACE)(?:\\s+IGNORE)?\\s+INTO ${name} (\\()?`),
  /** What else makes and fills tables; all other statements come when all tables are there. */
  ofTables: new RegExp(`^(?:${tableStatements.join('|')})`),
  postamble: /^\/\*!40103 SET TIME_ZONE=@OLD_TIME_ZONE/,
  definer: /\bDEFINER\s*=\s*(`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?)/,
  position: new RegExp(
    "^-- CHANGE (?:MASTER|REPLICATION SOURCE) TO (?:MASTER|SOURCE)_LOG_FILE='([^']+)', " +
      '(?:MASTER|SOURCE)_LOG_POS=(\\d{1,15});',
  ),
  gtidSet: /^-- SET GLOBAL gtid_slave_pos='([^']*)'/,
  completed: /^-- Dump completed/,
};

export class DumpReader {
  readonly #statements = new StatementReader();
  readonly #databases = new Map<string, Database>();
  readonly #preamble: Uint8Array[] = [];
  #preambleBytes = 0;
  readonly #postamble: Uint8Array[] = [];
  #current: string | null = null;
  #isSecondRound = false;
  #isOver = false;
  #isCompleted = false;
  #table: string | null = null;
  #place: Place = { kind: 'preamble' };
  #statementBytes = 0;
  #insert: { readonly table: DumpedTable; readonly hasColumns: boolean } | null = null;
  #file: { readonly file: string; readonly offsetBytes: number } | null = null;
  #gtidSet: string | null = null;

  /** Of a dump of tables, which does not name their database, it is given. */
  constructor(database: string | null = null) {
    if (database !== null) this.#enter(database);
  }

  /** What may be stored of it by now. @throws engine-refused */
  push(bytes: Uint8Array): readonly DumpSegment[] {
    return this.#takeAll(this.#statements.push(bytes));
  }

  /** The rest. @throws engine-refused when the dump is not whole, or not of these databases */
  end(expected: readonly string[]): readonly DumpSegment[] {
    const segments = this.#takeAll(this.#statements.end());
    if (!this.#isCompleted) throw malformed('it ends without saying that it is complete');
    const missing = expected.find((one) => !this.#databases.has(one));
    if (missing !== undefined) throw malformed(`it holds no database ${missing}`);
    if (this.#databases.size > expected.length) throw malformed('it holds another database');
    const tail = Buffer.concat(this.#postamble);
    return [
      ...segments,
      ...expected.map(
        (database) => ({ database, part: 'tail', table: null, bytes: tail }) as const,
      ),
    ];
  }

  /** Of one database; complete at the end. */
  textOf(database: string): DumpedText {
    const found = this.#databases.get(database);
    if (!found) throw malformed(`it holds no database ${database}`);
    const { tables, definers, largestStatementBytes } = found;
    return {
      tables: [...tables.values()],
      definers: [...definers].sort(),
      largestStatementBytes,
    };
  }

  /** Where the binary log stood at the moment of the dump; null when it does not say. */
  get position(): DumpPosition | null {
    return this.#file && { ...this.#file, gtidSet: this.#gtidSet };
  }

  #takeAll(events: Iterable<StatementEvent>): readonly DumpSegment[] {
    const segments: DumpSegment[] = [];
    for (const event of events) segments.push(...this.#take(event));
    return segments;
  }

  #take(event: StatementEvent): readonly DumpSegment[] {
    switch (event.kind) {
      case 'comment':
        this.#readComment(event.text);
        return [];
      case 'delimiter':
        this.#place = this.#placeOfOthers();
        return this.#put(event.bytes);
      case 'begin':
        return this.#begin(event.head);
      case 'bytes':
        this.#statementBytes += event.bytes.byteLength;
        return this.#put(event.bytes);
      case 'end':
        return this.#end(event.groups);
    }
  }

  #readComment(text: string): void {
    const [, file, offset] = patterns.position.exec(text) ?? [];
    if (file !== undefined) this.#file ??= { file, offsetBytes: Number(offset) };
    const [, gtidSet] = patterns.gtidSet.exec(text) ?? [];
    if (gtidSet !== undefined) this.#gtidSet = gtidSet;
    this.#isCompleted = patterns.completed.test(text);
  }

  #begin(head: string): readonly DumpSegment[] {
    this.#isCompleted = false;
    const used = patterns.use.exec(head);
    if (used || patterns.createDatabase.test(head)) {
      this.#place = { kind: 'nowhere' };
      return used ? this.#enter(unquote(used[1])) : [];
    }
    if (this.#current !== null && patterns.postamble.test(head)) this.#isOver = true;
    const database = this.#database;
    if (!database || this.#isOver) {
      this.#place = { kind: this.#isOver ? 'postamble' : 'preamble' };
      return [];
    }
    this.#place = this.#placeOf(head, database);
    const [, definer] = patterns.definer.exec(head.split(/;\s*\n/, 1)[0] ?? '') ?? [];
    const isProgram = this.#place.kind === 'part' && this.#place.part !== 'tables';
    if (definer !== undefined && isProgram) database.definers.add(definer);
    return [];
  }

  #placeOf(head: string, database: Database): Place {
    const locked = patterns.lock.exec(head);
    const inserted = patterns.insert.exec(head);
    if (locked) {
      this.#table = unquote(locked[1]);
      database.tables.set(this.#table, { name: this.#table, rows: 0 });
    }
    if (inserted) {
      const table = database.tables.get(unquote(inserted[1]));
      if (!table) throw malformed(`rows of table ${inserted[1]} come before it`);
      this.#insert = { table, hasColumns: inserted[2] !== undefined };
    }
    // With one table locked, the sequence that its default takes numbers from cannot be read.
    if (locked || patterns.unlock.test(head)) return { kind: 'nowhere' };
    if (this.#isSecondRound) return { kind: 'part', part: 'views' };
    if (!inserted && !patterns.ofTables.test(head)) return this.#placeOfOthers();
    return { kind: 'part', part: this.#table === null ? 'head' : 'tables' };
  }

  #placeOfOthers(): Place {
    return { kind: 'part', part: this.#isSecondRound ? 'views' : 'programs' };
  }

  #end(groups: number): readonly DumpSegment[] {
    if (this.#insert) this.#insert.table.rows += groups - (this.#insert.hasColumns ? 1 : 0);
    this.#insert = null;
    const database = this.#database;
    if (database && this.#statementBytes > database.largestStatementBytes) {
      database.largestStatementBytes = this.#statementBytes;
    }
    this.#statementBytes = 0;
    return this.#put(lineBreak);
  }

  #enter(database: string): readonly DumpSegment[] {
    this.#current = database;
    this.#table = null;
    this.#isSecondRound = this.#databases.has(database);
    if (this.#isSecondRound) return [];
    this.#databases.set(database, {
      ...{ tables: new Map(), definers: new Set() },
      largestStatementBytes: 0,
    });
    return [{ database, part: 'head', table: null, bytes: Buffer.concat(this.#preamble) }];
  }

  #put(bytes: Uint8Array): readonly DumpSegment[] {
    const { kind } = this.#place;
    if (kind === 'nowhere') return [];
    if (kind === 'part' && this.#current !== null) {
      const { part } = this.#place;
      const table = part === 'tables' ? this.#table : null;
      return [{ database: this.#current, part, table, bytes }];
    }
    this.#preambleBytes += bytes.byteLength;
    if (this.#preambleBytes > preambleBytesMax) throw malformed('it has too many settings');
    (kind === 'preamble' ? this.#preamble : this.#postamble).push(Uint8Array.from(bytes));
    return [];
  }

  get #database(): Database | null {
    return this.#current === null ? null : (this.#databases.get(this.#current) ?? null);
  }
}

/** A name as it stands between backticks. */
function unquote(text: string | undefined): string {
  return (text ?? '').replaceAll('``', '`');
}
