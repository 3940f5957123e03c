// How an instance's log is archived, and how much of it makes one incremental backup.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, nullable, refTo, refusedAs, words } from './define.ts';
import { HostStateSchema, RegisteredInstanceSchema } from './registered-instance.ts';

const NoticeSchema = Type.Object({ message: Type.String(), hint: nullable(Type.String()) });

export const LogArchiveSchema = named(
  'LogArchive',
  Type.Object({
    status: words(['following', 'waiting', 'stopped'] as const, {
      description:
        'following: log arrives. waiting: it is to be archived, and trouble says why it is not, ' +
        'or nobody has begun yet. stopped: nobody wants it',
    }),
    stream_id: nullable(Type.String()),
    since: nullable(Type.String({ description: 'When the stream began: gap-free from then on' })),
    kept_from: nullable(Type.String({ description: 'Log position; what lies before has expired' })),
    stored_position: nullable(Type.String()),
    covered_until: nullable(
      Type.String({ description: 'By the server’s clock: what was committed before is stored' }),
    ),
    behind_seconds: nullable(
      Type.Number({ description: 'What a loss of the server would cost now (RPO)' }),
    ),
    behind_bytes: nullable(Type.Integer({ description: 'Written by the server and not stored' })),
    warning: nullable(NoticeSchema),
    trouble: nullable(
      Type.Object({
        message: Type.String(),
        hint: nullable(Type.String()),
        since: Type.String(),
      }),
    ),
    last_gap: nullable(Type.Object({ at: Type.String(), reason: Type.String() })),
  }),
);
export type LogArchiveWire = Static<typeof LogArchiveSchema>;

export const ShownInstanceSchema = named(
  'ShownInstance',
  Type.Object({
    instance: refTo(RegisteredInstanceSchema),
    hosts: nullable(
      Type.Array(refTo(HostStateSchema), {
        description: 'What each server is right now; null for an instance without standbys',
      }),
    ),
    log_archive: nullable(refTo(LogArchiveSchema)),
  }),
);
export type ShownInstanceWire = Static<typeof ShownInstanceSchema>;

export const LogIntervalSchema = named(
  'IncrementalBackupPolicy',
  Type.Object({
    incre_backup_policy: Type.Object({
      interval: Type.Integer({ description: 'Minutes; 5 unless it was set' }),
    }),
  }),
);

export const SetLogIntervalSchema = named(
  'SetIncrementalBackupPolicyRequest',
  Type.Object({
    incre_backup_policy: Type.Object({
      interval: Type.Union([Type.Integer(), Type.String({ pattern: '^[0-9]{1,9}$' })], {
        description: 'Minutes, 1 to 60',
        ...refusedAs('log-interval-invalid'),
      }),
    }),
  }),
);
