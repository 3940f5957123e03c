// Databases and tables as they were at a moment, restored into the server that they come from.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { ignored, named, nullable, refusedAs } from './define.ts';
import { DatabaseNameSchema } from './logical.ts';

/** The year 9999: beyond it a `Date` has no four-digit year. */
const timeMsMax = 253_402_300_799_000;
const instancesMax = 20;
const nameMax = 128;

/** Which instance, at which moment. */
export const restorePlace = {
  instance_id: Type.String({
    pattern: '^[0-9A-Za-z-]{1,64}$',
    ...refusedAs('instance-id-malformed'),
  }),
  restore_time: Type.Union(
    [Type.Integer({ minimum: 0, maximum: timeMsMax }), Type.String({ pattern: '^[0-9]{1,14}$' })],
    { description: 'Epoch ms in a window of restore-time, else 400 DBS.280001 with the nearest' },
  ),
  is_fast_restore: ignored('there is one way'),
};
const name = Type.String({ minLength: 1, maxLength: nameMax });

export const BatchRestoreDatabasesSchema = named(
  'BatchRestoreDatabasesRequest',
  Type.Object({
    instances: Type.Array(
      Type.Object({
        ...restorePlace,
        databases: Type.Array(DatabaseNameSchema, { minItems: 1, maxItems: 2000 }),
      }),
      { minItems: 1, maxItems: instancesMax },
    ),
  }),
);
export type BatchRestoreDatabasesWire = Static<typeof BatchRestoreDatabasesSchema>;

export const BatchRestoreTablesSchema = named(
  'BatchRestoreTablesRequest',
  Type.Object({
    instances: Type.Array(
      Type.Object({
        ...restorePlace,
        databases: Type.Array(
          Type.Object({
            database: name,
            schemas: Type.Array(
              Type.Object({
                schema: name,
                tables: Type.Array(DatabaseNameSchema, { minItems: 1, maxItems: 2000 }),
              }),
              { minItems: 1, maxItems: 2000 },
            ),
          }),
          { minItems: 1, maxItems: 2000 },
        ),
      }),
      { minItems: 1, maxItems: instancesMax, description: 'At most 2000 tables of an instance' },
    ),
  }),
);
export type BatchRestoreTablesWire = Static<typeof BatchRestoreTablesSchema>;

/** MySQL: databases have no schemas. */
export const RestoreTablesSchema = named(
  'RestoreTablesRequest',
  Type.Object({
    restore_time: restorePlace.restore_time,
    restore_tables: Type.Array(
      Type.Object({
        database: name,
        tables: Type.Array(DatabaseNameSchema, { minItems: 1, maxItems: 2000 }),
      }),
      { minItems: 1, maxItems: 2000, description: 'At most 2000 tables' },
    ),
    is_fast_restore: restorePlace.is_fast_restore,
  }),
);
export type RestoreTablesWire = Static<typeof RestoreTablesSchema>;

/** The same as older clients write it. */
export const OldRestoreTablesSchema = named(
  'OldRestoreTablesRequest',
  Type.Object({
    restoreTime: restorePlace.restore_time,
    restoreTables: Type.Array(
      Type.Object({
        database: name,
        tables: Type.Array(
          Type.Object({
            oldName: DatabaseNameSchema.properties.old_name,
            newName: DatabaseNameSchema.properties.new_name,
          }),
          { minItems: 1, maxItems: 2000 },
        ),
      }),
      { minItems: 1, maxItems: 2000, description: 'At most 2000 tables' },
    ),
    is_fast_restore: restorePlace.is_fast_restore,
  }),
);
export const OldJobReferenceSchema = named(
  'OldJobReference',
  Type.Object({ jobId: Type.String() }),
);

export const BatchRestoreResultSchema = named(
  'BatchRestoreResult',
  Type.Object({
    restore_result: Type.Array(Type.Object({ instance_id: Type.String(), job_id: Type.String() })),
  }),
);

export const RestoredTablesReportSchema = named(
  'RestoredTablesReport',
  Type.Object({
    kind: Type.Literal('restored-tables'),
    backup_id: Type.String(),
    tables: Type.Integer(),
    rows: Type.Integer({ description: 'As many as there were: they were counted' }),
  }),
);

export const FastRestoreRequestSchema = named(
  'FastRestoreRequest',
  Type.Object({
    restore_time: nullable(restorePlace.restore_time),
    instance_ids: Type.Array(restorePlace.instance_id, { minItems: 1, maxItems: instancesMax }),
  }),
);

export const FastRestoreSchema = named(
  'FastRestoreSupport',
  Type.Object({
    support_fast_restore_list: Type.Array(
      Type.Object({
        instance_id: Type.String(),
        is_support_fast_table_restore: Type.Boolean({ description: 'Always false' }),
        is_support_fast_database_restore: Type.Boolean({ description: 'Always false' }),
      }),
    ),
  }),
);
