// Restoring single databases of a backup into a server that runs: Cairn's own way to ask for it.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, nullable, refusedAs } from './define.ts';
import { RestorePointSchema } from './restore-point.ts';

export const DatabaseNameSchema = Type.Object({
  old_name: Type.String({ minLength: 1, maxLength: 128 }),
  new_name: Type.String({
    minLength: 1,
    maxLength: 128,
    description: 'Must be free: nothing is overwritten',
    ...refusedAs('database-name-invalid'),
  }),
});

export const RestoreDatabasesRequestSchema = named(
  'RestoreDatabasesRequest',
  Type.Object({
    backup_id: Type.Optional(
      Type.String({
        description: 'A completed backup of single databases; of SQL Server, any but incremental',
      }),
    ),
    restore_point: Type.Optional(
      Type.Unsafe<Static<typeof RestorePointSchema>>({
        ...RestorePointSchema,
        description: 'In place of backup_id, of SQL Server: a backup, or a moment of an instance',
      }),
    ),
    databases: Type.Optional(
      Type.Array(DatabaseNameSchema, {
        maxItems: 2000,
        description: 'Absent or empty: every one of the backup, under its own name',
      }),
    ),
    replace: Type.Optional(
      Type.Boolean({
        description:
          'Of SQL Server: a database that has one of the names makes room when the new one is ' +
          'whole. It stays on the server under another name, and its last log is saved',
      }),
    ),
    with_roles: Type.Optional(
      Type.Boolean({
        description:
          'Make the roles that the target lacks, with passwords where it knows them; else ' +
          '400 when one that owns something is missing. Roles that exist stay as they are',
      }),
    ),
  }),
);
export type RestoreDatabasesRequestWire = Static<typeof RestoreDatabasesRequestSchema>;

export const RestoredDatabasesReportSchema = named(
  'RestoredDatabasesReport',
  Type.Object({
    kind: Type.Literal('restored-databases'),
    backup_id: Type.String(),
    databases: Type.Array(
      Type.Object({
        old_name: Type.String(),
        new_name: Type.String(),
        tables: nullable(Type.Integer({ description: 'Null: an earlier attempt counted them' })),
        rows: nullable(Type.Integer({ description: 'As many as there were: they were counted' })),
        notes: Type.Array(Type.String(), { description: 'What else was done and found' }),
      }),
    ),
  }),
);
