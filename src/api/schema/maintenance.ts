// What looks after the storage: prune, and what its jobs find.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { RestoredTablesReportSchema } from './batch-restore.ts';
import { named, nullable, refTo, refusedAs, words } from './define.ts';
import { RestoredDatabasesReportSchema } from './logical.ts';

const instanceId = Type.Optional(
  Type.String({
    pattern: '^[0-9A-Za-z-]{1,64}$',
    description: 'Without it: every instance of the project that has backups',
    ...refusedAs('instance-id-malformed'),
  }),
);

export const PruneRequestSchema = named(
  'PruneRequest',
  Type.Object({
    instance_id: instanceId,
    dry_run: Type.Optional(Type.Boolean({ description: 'Only say what would go' })),
  }),
);

export const CheckRequestSchema = named(
  'CheckRequest',
  Type.Object({
    instance_id: instanceId,
    read_data_percent: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'So many of a hundred packs are read through; without it none',
      }),
    ),
  }),
);

export const AskedJobsSchema = named(
  'AskedJobs',
  Type.Object({
    jobs: Type.Array(
      Type.Object({
        instance_id: nullable(
          Type.String({ description: 'Null: a look for folders that belong to no instance' }),
        ),
        job_id: Type.String(),
      }),
    ),
  }),
);
export type AskedJobsWire = Static<typeof AskedJobsSchema>;

const amount = { count: Type.Integer(), bytes: Type.Integer() };

export const PruneReportSchema = named(
  'PruneReport',
  Type.Object({
    kind: Type.Literal('prune'),
    dry_run: Type.Boolean({ description: 'Nothing was changed; removed is what would go' }),
    grace_hours: Type.Number(),
    removed: Type.Object(amount),
    waiting: Type.Object(amount, { description: 'Unneeded, but not for the grace period' }),
    kept: Type.Object(amount, { description: 'Needed by a backup' }),
    foreign: Type.Object(
      { ...amount, names: Type.Array(Type.String()) },
      { description: 'Not written by Cairn: never touched' },
    ),
    orphans: Type.Array(
      Type.Object({
        backup_id: Type.String(),
        status: words(['unknown', 'failed', 'deleting']),
        removed: Type.Boolean(),
      }),
      { description: 'Stored backups that the catalog does not know as backups' },
    ),
  }),
);
export type PruneReportWire = Static<typeof PruneReportSchema>;

export const UnknownInstancesReportSchema = named(
  'UnknownInstancesReport',
  Type.Object(
    { kind: Type.Literal('unknown-instances'), instance_ids: Type.Array(Type.String()) },
    { description: 'Folders of the storage that belong to no instance; nothing deletes them' },
  ),
);

const counts = [
  ...['instances', 'backups', 'gone_backups', 'packs', 'pack_bytes', 'maps', 'map_bytes'],
  ...['map_parts', 'keys', 'packs_read', 'bytes_read', 'frames_read', 'pages_compared'],
  ...['log_streams', 'log_intervals', 'log_pieces', 'log_bytes', 'log_pieces_read'],
  ...['unneeded', 'unneeded_bytes'],
] as const;
export type CheckCountName = (typeof counts)[number];

export const CheckReportSchema = named(
  'CheckReport',
  Type.Object({
    kind: Type.Literal('check'),
    verdict: words(['sound', 'damaged', 'unknown'], {
      description: 'unknown: not everything could be looked at',
    }),
    read_data: nullable(Type.Object({ percent: Type.Integer(), seed: Type.String() })),
    counts: Type.Object(
      Object.fromEntries(counts.map((name) => [name, Type.Integer()])) as Record<
        CheckCountName,
        ReturnType<typeof Type.Integer>
      >,
    ),
    findings: Type.Array(
      Type.Object({
        kind: words(['damaged', 'unreadable']),
        object: Type.String(),
        message: Type.String(),
        hint: nullable(Type.String()),
        backup_ids: Type.Array(Type.String(), { description: 'Backups that need the object' }),
        more_backups: Type.Integer(),
      }),
    ),
    more_findings: Type.Integer({ description: 'Beyond those listed' }),
    foreign: Type.Array(Type.String(), { description: 'Not written by Cairn' }),
  }),
);
export type CheckReportWire = Static<typeof CheckReportSchema>;

export const RotateKeysRequestSchema = named(
  'RotateKeysRequest',
  Type.Object({ instance_id: instanceId }),
);

export const RotatedKeyReportSchema = named(
  'RotatedKeyReport',
  Type.Object({ kind: Type.Literal('rotated-key'), key_id: Type.String() }),
);

export const DeletedBackupReportSchema = named(
  'DeletedBackupReport',
  Type.Object({
    kind: Type.Literal('deleted-backup'),
    freed_bytes: Type.Integer(),
    locked_until: nullable(
      Type.String({
        description: 'ISO 8601. Where the storage locks: room is taken until then at most',
      }),
    ),
  }),
);

export const LockReportSchema = named(
  'LockReport',
  Type.Object({
    kind: Type.Literal('locks'),
    mode: words(['governance', 'compliance']),
    days: Type.Integer({ description: 'Nothing needed can be deleted for so long' }),
    needed: Type.Integer({ description: 'Stored versions that backups need' }),
    extended: Type.Integer({ description: 'Whose lock was begun or moved' }),
    findings: Type.Array(
      Type.Object({
        object: Type.String(),
        problem: words(['deleted', 'overwritten', 'missing']),
      }),
      { description: 'What somebody else has done to what backups need' },
    ),
    more_findings: Type.Integer({ description: 'Beyond those listed' }),
  }),
);
export type LockReportWire = Static<typeof LockReportSchema>;

export const OffsiteReportSchema = named(
  'OffsiteReport',
  Type.Object({
    kind: Type.Literal('copy-offsite'),
    copied: Type.Integer({ description: 'Backups that the copy did not have' }),
    present: Type.Integer({ description: 'Backups that were there' }),
    skipped: Type.Integer({ description: 'Backups that were deleted meanwhile' }),
    removed: Type.Integer({ description: 'Backups that have outlived the policy' }),
    objects: Type.Integer(),
    bytes: Type.Integer({ description: 'Written' }),
    failed: Type.Array(Type.Object({ backup_id: Type.String(), message: Type.String() })),
    more_failed: Type.Integer({ description: 'Beyond those listed' }),
  }),
);
export type OffsiteReportWire = Static<typeof OffsiteReportSchema>;

export const BackupReportSchema = named(
  'BackupReport',
  Type.Object({
    kind: Type.Literal('backup'),
    source: Type.String({
      description:
        'increment: the server sent what has changed; pages: files that were written ' +
        'were read; stream: the server sent everything',
      examples: ['increment'],
    }),
    reasons: Type.Array(Type.String(), { description: 'Why it was no better way' }),
    kept_bytes: Type.Integer({ description: 'Taken over from the previous backup, not read' }),
    read_bytes: Type.Integer(),
  }),
);
export type BackupReportWire = Static<typeof BackupReportSchema>;

export const RestoreReportSchema = named(
  'RestoreReport',
  Type.Object({
    kind: Type.Literal('restore'),
    backup_id: Type.String(),
    log_stream_id: nullable(Type.String({ description: 'Whose log was replayed; null: none' })),
    target: Type.String({ description: 'What was asked for, in words' }),
    position: nullable(Type.String({ description: 'Where replay ended; null: nothing replayed' })),
    timeline: nullable(Type.Integer({ description: 'That the server writes from now on' })),
    last_commit_time: nullable(
      Type.Integer({ description: 'Epoch ms of the last transaction that was replayed' }),
    ),
    transaction: nullable(
      Type.Object(
        {
          id: Type.String(),
          statement: nullable(Type.String({ description: 'As far as the log tells it' })),
          replayed: Type.Boolean({ description: 'false: the first one that was not' }),
        },
        { description: 'Where replay stopped, of MySQL; null: not known' },
      ),
    ),
    skipped_transactions: Type.Array(Type.String(), { description: 'Left out, as asked for' }),
  }),
);
export type RestoreReportWire = Static<typeof RestoreReportSchema>;

/** Of a job that has found something. */
export const JobResultSchema = Type.Union([
  refTo(PruneReportSchema),
  refTo(UnknownInstancesReportSchema),
  refTo(CheckReportSchema),
  refTo(OffsiteReportSchema),
  refTo(RotatedKeyReportSchema),
  refTo(LockReportSchema),
  refTo(DeletedBackupReportSchema),
  refTo(BackupReportSchema),
  refTo(RestoreReportSchema),
  refTo(RestoredDatabasesReportSchema),
  refTo(RestoredTablesReportSchema),
]);
export type JobResultWire = Static<typeof JobResultSchema>;
