// What every list of the catalog does alike: a page in the order of a column, newest first with the
// id as tie-breaker, and the number of all rows that match.
import type { SelectQueryBuilder, Simplify } from 'kysely';
import { sql } from 'kysely';
import type { PageRequest } from './catalog.ts';
import type { CatalogSchema } from './schema.ts';

export async function readNewest<Table extends keyof CatalogSchema, Row>(
  rows: SelectQueryBuilder<CatalogSchema, Table, Row>,
  column: 'created_at' | 'started_at',
  page: PageRequest,
): Promise<Simplify<Row>[]> {
  return await rows
    .orderBy(sql.ref(column), 'desc')
    .orderBy(sql.ref('id'), 'desc')
    .offset(page.offset)
    .limit(page.limit)
    .execute();
}

export async function countRows<Table extends keyof CatalogSchema>(
  matching: SelectQueryBuilder<CatalogSchema, Table, object>,
): Promise<number> {
  const { total } = await matching
    .select((eb) => eb.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  return total;
}
