// What there was at a moment, and what is in a backup.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { contentsLimits } from '../../model/backup-contents.ts';
import { restorePlace } from './batch-restore.ts';
import { named } from './define.ts';

const instancesMax = 20;
const partOfName = (what: string) =>
  Type.Optional(
    Type.String({ maxLength: 256, description: `Part of the name of ${what}, in any case` }),
  );

const asked = {
  instance_ids: Type.Array(restorePlace.instance_id, { minItems: 1, maxItems: instancesMax }),
  restore_time: restorePlace.restore_time,
  instance_name_like: partOfName('an instance'),
  database_name_like: partOfName('a database'),
};

export const PastDatabasesRequestSchema = named('PastDatabasesRequest', Type.Object(asked));
export type PastDatabasesRequestWire = Static<typeof PastDatabasesRequestSchema>;

export const PastTablesRequestSchema = named(
  'PastTablesRequest',
  Type.Object({ ...asked, table_name_like: partOfName('a table') }),
);

const total = Type.Integer({ description: 'Of tables that are listed' });
const limits = {
  database_limit: Type.Integer({
    description: `At most ${contentsLimits.databasesMax} databases of an instance are listed`,
  }),
  table_limit: Type.Integer({
    description: `At most ${contentsLimits.tablesMax} tables of an instance are listed`,
  }),
};

export const PastDatabasesSchema = named(
  'PastDatabases',
  Type.Object({
    ...limits,
    instances: Type.Array(
      Type.Object({
        ...{ id: Type.String(), name: Type.String(), total_tables: total },
        databases: Type.Array(Type.Object({ name: Type.String(), total_tables: total })),
      }),
    ),
  }),
);

const TableListSchema = Type.Array(Type.Object({ name: Type.String() }));

export const PastTablesSchema = named(
  'PastTables',
  Type.Object({
    table_limit: limits.table_limit,
    instances: Type.Array(
      Type.Object({
        ...{ id: Type.String(), name: Type.String(), total_tables: total },
        databases: Type.Array(
          Type.Object({
            ...{ name: Type.String(), total_tables: total },
            schemas: Type.Optional(
              Type.Array(
                Type.Object({ name: Type.String(), total_tables: total, tables: TableListSchema }),
                { description: 'PostgreSQL' },
              ),
            ),
            tables: Type.Optional(TableListSchema),
          }),
        ),
      }),
    ),
  }),
);
export type PastTablesWire = Static<typeof PastTablesSchema>;

export const BackupDatabasesQuerySchema = Type.Object({
  backup_id: Type.String({ minLength: 1, description: 'Of a completed full backup' }),
});

export const BackupDatabasesSchema = named(
  'BackupDatabases',
  Type.Object({
    databases: Type.Array(
      Type.Object({
        database_name: Type.String(),
        backup_file_name: Type.String({ description: 'As listBackupFiles names it' }),
        backup_file_size: Type.Integer({ description: 'kB of that file, rounded up' }),
      }),
    ),
    database_limit: limits.database_limit,
    bucket_name: Type.String({ description: 'Always empty' }),
  }),
);
