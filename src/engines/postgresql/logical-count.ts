import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import { quoteName } from './sql-text.ts';

/** What a dump was seen to hold. */
export type DumpedRows = Pick<DumpedDatabase, 'tables' | 'large_objects'>;

/**
 * Counts the rows of every table that the dump of a database had data of. Tables of extensions may
 * have rows that the extension itself has put there. @throws engine-refused when rows or large
 * objects are missing, or there are too many
 */
export async function countRestored(query: Query, dumped: DumpedRows): Promise<void> {
  await countTables(query, dumped.tables);
  const [objects] = await query('select count(*) as n from pg_largeobject_metadata');
  const found = Number(objects?.n);
  if (found !== dumped.large_objects) throw mismatch('large objects', found, dumped.large_objects);
}

/** The same for tables alone. @throws engine-refused */
export async function countTables(query: Query, tables: DumpedRows['tables']): Promise<void> {
  const ofExtensions = await listExtensionTables(query);
  for (const { schema, name, rows } of tables) {
    const table = [schema, name].map(quoteName).join('.');
    const [row] = await query(`select count(*) as n from only ${table}`);
    const found = Number(row?.n);
    const isRight = ofExtensions.has(table) ? found >= rows : found === rows;
    if (!isRight) throw mismatch(`table ${table}`, found, rows);
  }
}

async function listExtensionTables(query: Query): Promise<ReadonlySet<string>> {
  const rows = await query(
    `select format('"%s"."%s"', replace(nspname, '"', '""'), replace(relname, '"', '""')) as name
     from pg_depend d join pg_class c on c.oid = d.objid
       join pg_namespace n on n.oid = c.relnamespace
     where d.classid = 'pg_class'::regclass and d.deptype = 'e'`,
  );
  return new Set(rows.map(({ name }) => String(name)));
}

function mismatch(what: string, found: number, expected: number): CairnError {
  return new CairnError(
    'engine-refused',
    `${what}: ${found} were restored, and there were ${expected}`,
    { hint: 'nothing was kept of the restore; the backup is as it was' },
  );
}
