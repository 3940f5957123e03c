import type { Kysely } from 'kysely';
import type { CatalogSchema } from '../schema.ts';

/** One step of the schema. It runs inside the transaction that also records it. */
export type Migration = {
  readonly name: string;
  up(db: Kysely<CatalogSchema>): Promise<void>;
};
