// Tables of a server that was restored for this alone, made ready to be taken to another under new
// names: each in a schema of its own, with the names of its indexes and sequences changed along, so
// that nothing of the original is in the way. Foreign keys and triggers are left behind: the rows
// that they speak of may be others today.
import { CairnError } from '../../model/errors.ts';
import type { TableName } from '../logical.ts';
import type { Query } from './connection.ts';
import { quoteName } from './sql-text.ts';

const nameBytesMax = 63;

export type WorkTable = TableName & { readonly workSchema: string };

/** @throws invalid for a name that is no plain table */
export async function prepareTable(query: Query, table: WorkTable): Promise<void> {
  const { schema, oldName, newName, workSchema } = table;
  const [found] = await query(
    `select c.oid::text as oid, relkind, exists (select from pg_inherits
        where inhrelid = c.oid or inhparent = c.oid) as inherits
     from pg_class c join pg_namespace n on n.oid = relnamespace
     where nspname = $1 and relname = $2 and relkind in ('r', 'p')`,
    [schema, oldName],
  );
  if (!found) throw refused('table-unknown', table, 'there was no such table at that time');
  if (found.relkind !== 'r' || found.inherits === true) {
    throw refused('table-unknown', table, 'it is partitioned or inherits: restore the database');
  }
  const oid = String(found.oid);
  await query(`create schema ${quoteName(workSchema)}`);
  for (const statement of await planLeavings(query, oid)) await query(statement);
  for (const { kind, name } of await listCompanions(query, oid)) {
    const target = companionName(name, { oldName, newName });
    const path = `${quoteName(schema)}.${quoteName(name)}`;
    await query(`alter ${kind} ${path} rename to ${quoteName(target)}`);
  }
  await query(`alter table ${quoteName(schema)}.${quoteName(oldName)} set schema
    ${quoteName(workSchema)}`);
  await query(`alter table ${quoteName(workSchema)}.${quoteName(oldName)} rename to
    ${quoteName(newName)}`);
}

/** `orders_pkey` of `orders` becomes `orders_old_pkey` of `orders_old`. */
export function companionName(
  name: string,
  { oldName, newName }: Pick<TableName, 'oldName' | 'newName'>,
): string {
  const rest = name.startsWith(oldName) ? name.slice(oldName.length) : `_${name}`;
  const bytes = Buffer.from(newName + rest);
  if (bytes.byteLength <= nameBytesMax) return newName + rest;
  const room = nameBytesMax - Buffer.byteLength(rest);
  const stem = Buffer.from(newName).subarray(0, Math.max(0, room)).toString('utf8');
  return stem.replaceAll('\uFFFD', '') + rest;
}

async function planLeavings(query: Query, oid: string): Promise<readonly string[]> {
  const rows = await query(
    `select format('alter table %s drop constraint %I', conrelid::regclass, conname) as statement
       from pg_constraint where conrelid = $1::oid and contype = 'f'
     union all select format('drop trigger %I on %s', tgname, tgrelid::regclass)
       from pg_trigger where tgrelid = $1::oid and not tgisinternal`,
    [oid],
  );
  return rows.map(({ statement }) => String(statement));
}

async function listCompanions(
  query: Query,
  oid: string,
): Promise<readonly { readonly kind: 'index' | 'sequence'; readonly name: string }[]> {
  const rows = await query(
    `select 'index' as kind, relname from pg_index join pg_class on oid = indexrelid
       where indrelid = $1::oid
     union all select 'sequence', relname from pg_depend join pg_class c on c.oid = objid
       where refobjid = $1::oid and refclassid = 'pg_class'::regclass and relkind = 'S'
         and deptype in ('a', 'i')`,
    [oid],
  );
  return rows.map(({ kind, relname }) => ({
    kind: kind === 'index' ? 'index' : 'sequence',
    name: String(relname),
  }));
}

/** All tables of a database get their places together. @throws conflict when one is taken */
export function planMoves(tables: readonly WorkTable[]): readonly string[] {
  return tables.flatMap(({ schema, newName, workSchema }) => [
    `alter table ${quoteName(workSchema)}.${quoteName(newName)} set schema ${quoteName(schema)}`,
    `drop schema ${quoteName(workSchema)}`,
  ]);
}

/** @throws conflict for a name that is in use; invalid for a schema that is not there */
export async function assertPlacesFree(query: Query, tables: readonly TableName[]): Promise<void> {
  for (const table of tables) {
    const { schema, newName } = table;
    const [row] = await query(
      `select exists (select from pg_namespace where nspname = $1) as has_schema,
         exists (select from pg_class c join pg_namespace n on n.oid = relnamespace
           where nspname = $1 and relname = $2) as is_taken`,
      [schema, newName],
    );
    if (row?.has_schema !== true) {
      throw refused('table-unknown', table, 'the target has no such schema');
    }
    if (row.is_taken !== true) continue;
    const text = `the target has “${newName}” in schema ${schema} already`;
    throw new CairnError('conflict', text, {
      reason: 'table-name-taken',
      hint: 'restore under another name: none is ever overwritten',
    });
  }
}

function refused(reason: 'table-unknown', { schema, oldName }: TableName, why: string): CairnError {
  const text = `table ${schema}.${oldName} cannot be restored: ${why}`;
  return new CairnError('invalid', text, { reason });
}
