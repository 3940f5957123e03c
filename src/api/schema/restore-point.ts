// How a request names the backup, or the moment, that is restored.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { skippedTransactionsMax } from '../../model/recovery-target.ts';
import { nullable, refusedAs, words } from './define.ts';

/** The year 9999: beyond it a `Date` has no four-digit year. */
const timeMsMax = 253_402_300_799_000;

/** Cairn's own: the family knows moments only. */
const RecoveryTargetSchema = Type.Object(
  {
    kind: words(['time', 'lsn', 'xid', 'name', 'latest', 'position', 'gtid']),
    value: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Of all but time and latest' }),
    ),
    exclusive: Type.Optional(
      Type.Boolean({ description: 'Stop right before what is named, not right after it' }),
    ),
    timeline: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 0xffff_ffff, description: 'Absent: the newest' }),
    ),
  },
  {
    description:
      'An extension: where replay of archived log stops. time needs restore_time; xid and name ' +
      'need backup_id, the full backup that replay begins with. Of PostgreSQL are lsn, xid and ' +
      'name, of MySQL position (bin.000004:337537) and gtid, of SQL Server name: a marked ' +
      'transaction, or lsn:34000000017600037',
  },
);
export type RecoveryTargetWire = Static<typeof RecoveryTargetSchema>;

export const RestorePointSchema = Type.Object({
  instance_id: Type.String({
    pattern: '^[0-9A-Za-z-]{1,64}$',
    description: 'The source; it may be gone',
    ...refusedAs('instance-id-malformed'),
  }),
  type: Type.Optional(
    words(['backup', 'timestamp'], {
      description: 'Absent: timestamp when only restore_time is given, else backup',
    }),
  ),
  backup_id: Type.Optional(nullable(Type.String({ description: 'Empty counts as absent' }))),
  restore_time: Type.Optional(
    Type.Union(
      [
        Type.Integer({ minimum: 0, maximum: timeMsMax }),
        Type.String({ pattern: '^[0-9]{1,14}$' }),
        Type.Null(),
      ],
      {
        description:
          'Epoch ms; must lie in a window of restore-time, else 400 DBS.280001 with the nearest',
      },
    ),
  ),
  recovery_target: Type.Optional(RecoveryTargetSchema),
  skipped_transactions: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
      maxItems: skippedTransactionsMax,
      description:
        'An extension: global ids of transactions of MySQL that are left out of what is replayed',
    }),
  ),
  database_name: Type.Optional(
    nullable(
      Type.Record(Type.String(), Type.String(), {
        description:
          'Names, old to new (empty: the same), of a backup of single databases, of SQL Server ' +
          'of any: they are restored beside what the target has. New names separated by commas ' +
          'are one copy each. Only over an instance; else 400 DBS.201207',
      }),
    ),
  ),
});
export type RestorePointWire = Static<typeof RestorePointSchema>;
