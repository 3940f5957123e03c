import type { Static } from 'typebox';
import { Type } from 'typebox';
import { backupTypes } from '../../model/backup.ts';
import { BackupSchema } from './backup.ts';
import { named, nullable, refTo, words } from './define.ts';
import { pagingQuery } from './paging.ts';

/** Documents print some numbers as texts, so clients send both. */
const wholeNumber = (description: string) =>
  Type.Union([Type.Integer(), Type.String({ pattern: '^-?[0-9]{1,9}$' })], { description });

export const SetPolicyRequestSchema = named(
  'SetBackupPolicyRequest',
  Type.Object({
    backup_policy: Type.Object({
      keep_days: wholeNumber(
        'Days that automated backups are kept, 1 to 732 (PostgreSQL: 3660); 0 switches them off. ' +
          'Else DBS.280250',
      ),
      start_time: Type.Optional(
        nullable(
          Type.String({
            description:
              'Window of one hour in UTC, hh:mm-HH:MM, minutes 00, 15, 30 or 45; needed unless ' +
              'keep_days is 0. Else DBS.280253',
            examples: ['08:15-09:15'],
          }),
        ),
      ),
      period: Type.Optional(
        nullable(
          Type.String({
            description:
              'Weekdays, comma-separated, 1 = Monday to 7 = Sunday; needed unless keep_days ' +
              'is 0. Else DBS.280251',
            examples: ['1,2,3,4,5,6,7'],
          }),
        ),
      ),
    }),
    reserve_backups: Type.Optional(
      nullable(
        Type.Boolean({
          description:
            'When switching off: true (the default) keeps the automated backups, false deletes ' +
            'them. Archived log (incremental backups) goes in either case, a day later',
        }),
      ),
    ),
  }),
);
export type SetPolicyRequest = Static<typeof SetPolicyRequestSchema>;

export const PolicyResponseSchema = named(
  'BackupPolicyResponse',
  Type.Object({
    backup_policy: Type.Object({
      keep_days: Type.Integer({ description: '0: no automated backups, and nothing else is said' }),
      start_time: Type.Optional(Type.String()),
      period: Type.Optional(Type.String({ description: 'Ascending, each day once' })),
    }),
  }),
);
export type PolicyResponse = Static<typeof PolicyResponseSchema>;

const offsiteTypes = ['auto', 'incremental', 'all'] as const;

export const SetOffsitePolicyRequestSchema = named(
  'SetOffsitePolicyRequest',
  Type.Object({
    policy_para: Type.Object({
      backup_type: words(offsiteTypes),
      keep_days: wholeNumber('0 closes the policy; more needs a second storage, else DBS.280001'),
      destination_region: Type.String({ maxLength: 64 }),
      destination_project_id: Type.String({ maxLength: 64 }),
    }),
  }),
);
export type SetOffsitePolicyRequest = Static<typeof SetOffsitePolicyRequestSchema>;

export const OffsitePolicyResponseSchema = named(
  'OffsitePolicyResponse',
  Type.Object({
    policy_para: Type.Array(
      Type.Object({
        backup_type: words(offsiteTypes),
        keep_days: Type.Integer(),
        destination_region: Type.String(),
        destination_project_id: Type.String(),
      }),
      { description: 'Empty while there is no off-site policy' },
    ),
  }),
);
export type OffsitePolicyResponse = Static<typeof OffsitePolicyResponseSchema>;

export const ListOffsiteBackupsQuerySchema = Type.Object({
  instance_id: Type.Optional(Type.String()),
  backup_id: Type.Optional(Type.String()),
  backup_type: Type.Optional(words(backupTypes)),
  begin_time: Type.Optional(Type.String()),
  end_time: Type.Optional(Type.String()),
  ...pagingQuery,
});

export const OffsiteBackupListSchema = named(
  'OffsiteBackupList',
  Type.Object({ backups: Type.Array(refTo(BackupSchema)), total_count: Type.Integer() }),
);

export const OffsiteInstanceListSchema = named(
  'OffsiteInstanceList',
  Type.Object({
    offsite_backup_instances: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        source_region: Type.String(),
        source_project_id: Type.String(),
        datastore: Type.Object({ type: Type.String(), version: Type.String() }),
        destination_region: Type.String(),
        destination_project_id: Type.String(),
        keep_days: Type.Integer(),
      }),
    ),
    total_count: Type.Integer(),
  }),
);

export type OffsiteInstanceWire = Static<
  typeof OffsiteInstanceListSchema
>['offsite_backup_instances'][number];

export const OffsiteWindowsSchema = named(
  'OffsiteRestoreWindows',
  Type.Object({
    restore_time: Type.Array(Type.Object({ start_time: Type.Integer(), end_time: Type.Integer() })),
  }),
);

export const OffsiteInstancesQuerySchema = Type.Object({ ...pagingQuery });
