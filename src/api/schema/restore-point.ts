// How a request names the backup, or the moment, that is restored.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { nullable, refusedAs, words } from './define.ts';

/** The year 9999: beyond it a `Date` has no four-digit year. */
const timeMsMax = 253_402_300_799_000;

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
  database_name: Type.Optional(
    nullable(
      Type.Record(Type.String(), Type.String(), {
        description: 'Single databases; not offered: 400 DBS.201207 unless empty',
      }),
    ),
  ),
});
export type RestorePointWire = Static<typeof RestorePointSchema>;
