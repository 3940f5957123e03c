import type { Static } from 'typebox';
import { Type } from 'typebox';
import { backupTypes } from '../../model/backup.ts';
import { named, nullable, refTo, refusedAs, words } from './define.ts';
import { BackupReportSchema } from './maintenance.ts';
import { pagingQuery } from './paging.ts';

export const backupStatusWords = ['BUILDING', 'COMPLETED', 'FAILED', 'DELETING'] as const;

const time = (description: string) =>
  Type.String({ description, examples: ['2026-01-05T03:00:00+0000'] });

const DatabaseSchema = Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }) });

export const DatastoreSchema = named(
  'Datastore',
  Type.Object({
    type: words(['MySQL', 'PostgreSQL', 'SQLServer']),
    version: Type.String({ examples: ['16'] }),
  }),
);

export const CreateBackupRequestSchema = named(
  'CreateBackupRequest',
  Type.Object({
    instance_id: Type.String({
      pattern: '^[0-9A-Za-z-]{1,64}$',
      ...refusedAs('instance-id-malformed'),
    }),
    name: Type.String({
      pattern: '^[A-Za-z][A-Za-z0-9_-]{3,63}$',
      description: 'Unique among the backups of the project, case-sensitive',
      ...refusedAs('backup-name-invalid'),
    }),
    description: Type.Optional(
      nullable(
        Type.String({
          maxLength: 256,
          pattern: '^[^><!"&\'=\\r\\n]*$',
          ...refusedAs('backup-description-invalid'),
        }),
      ),
    ),
    databases: Type.Optional(nullable(Type.Array(DatabaseSchema, { maxItems: 2000 }))),
    backup_database_individually: Type.Optional(nullable(Type.Boolean({ default: false }))),
    type: Type.Optional(
      nullable(
        words(['manual', 'fragment'] as const, {
          description:
            'An extension. fragment: only what has changed since the last full backup is read ' +
            'from the server; what is stored is whole. SQL Server; else 400 DBS.201207',
        }),
      ),
    ),
  }),
);
export type CreateBackupRequest = Static<typeof CreateBackupRequestSchema>;

const core = {
  id: Type.String(),
  instance_id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  databases: Type.Array(Type.Object({ name: Type.String() })),
  begin_time: time('When it was asked for'),
  status: words(backupStatusWords),
  type: words(backupTypes),
};

export const CreateBackupResponseSchema = named(
  'CreateBackupResponse',
  Type.Object({ backup: Type.Object(core), job_id: Type.String() }),
);
export type CreateBackupResponse = Static<typeof CreateBackupResponseSchema>;

const listed = {
  ...core,
  size: Type.Integer({ description: 'kB of all files as the server has them, rounded up' }),
  end_time: time('Empty while it is being made'),
  datastore: refTo(DatastoreSchema),
  associated_with_ddm: Type.Boolean(),
};

export const BackupSchema = named('Backup', Type.Object(listed));
export type BackupWire = Static<typeof BackupSchema>;

export const ListBackupsQuerySchema = Type.Object({
  instance_id: Type.Optional(Type.String()),
  backup_id: Type.Optional(Type.String()),
  backup_type: Type.Optional(words(backupTypes)),
  status: Type.Optional(words(backupStatusWords)),
  begin_time: Type.Optional(time('Together with end_time; bounds included')),
  end_time: Type.Optional(time('Later than begin_time')),
  ...pagingQuery,
});
export type ListBackupsQuery = Static<typeof ListBackupsQuerySchema>;

export const BackupListSchema = named(
  'BackupList',
  Type.Object({ backups: Type.Array(refTo(BackupSchema)), total_count: Type.Integer() }),
);
export type BackupListWire = Static<typeof BackupListSchema>;

export const BackupTotalsSchema = named(
  'BackupTotals',
  Type.Object({
    file_count: Type.Integer(),
    logical_bytes: Type.Integer({ description: 'all files as the server has them' }),
    new_bytes: Type.Integer({
      description: 'pages that no earlier backup had; after several attempts, those of the last',
    }),
    stored_bytes: Type.Integer({ description: 'what it added to the storage' }),
  }),
);

export const BackupDetailSchema = named(
  'BackupDetail',
  Type.Object({
    ...listed,
    instance_name: Type.String(),
    server_version: Type.String(),
    job_id: Type.String(),
    start_position: nullable(Type.String({ examples: ['postgresql:1:0/3000028'] })),
    stop_position: nullable(Type.String()),
    totals: nullable(refTo(BackupTotalsSchema)),
    failure_reason: nullable(Type.String()),
    taken: nullable(refTo(BackupReportSchema)),
  }),
);
export type BackupDetailWire = Static<typeof BackupDetailSchema>;

export const BatchDeleteRequestSchema = named(
  'BatchDeleteRequest',
  Type.Object({
    backup_ids: Type.Array(Type.String({ maxLength: 64 }), {
      minItems: 1,
      maxItems: 50,
      description: 'Manual backups, 1 to 50; else DBS.280001',
    }),
  }),
);

export const BatchDeleteResponseSchema = named(
  'BatchDeleteResponse',
  Type.Object({
    delete_results: Type.Array(
      Type.Object({
        backup_id: Type.String(),
        error_code: Type.String({ description: '"0" when the deletion was accepted' }),
        error_msg: Type.String({ description: 'Success, or why it was not' }),
      }),
    ),
  }),
);
export type BatchDeleteResponse = Static<typeof BatchDeleteResponseSchema>;
