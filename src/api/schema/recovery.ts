// Restoring over an instance, and the moments that an instance can be restored to.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { ignored, named, refusedAs } from './define.ts';
import { RestorePointSchema } from './restore-point.ts';

export const RecoveryRequestSchema = named(
  'RestoreToExistingInstanceRequest',
  Type.Object({
    source: Type.Intersect([
      RestorePointSchema,
      Type.Object({ restore_all_database: ignored('all databases are restored anyway') }),
    ]),
    target: Type.Object({
      instance_id: Type.String({
        pattern: '^[0-9A-Za-z-]{1,64}$',
        description:
          'May be the source. Its server must be one that Cairn started (else 400 DBS.201207), ' +
          'of the same engine and major version (else 400 DBS.200041); busy: 409 DBS.201202. Of ' +
          'SQL Server any, of a version and edition that the API restores the source’s to',
        ...refusedAs('instance-id-malformed'),
      }),
    }),
    replace: Type.Optional(
      Type.Boolean({
        description:
          'An extension, for database_name of SQL Server: a database that has one of the new ' +
          'names makes room, and stays under another name; else its name is refused as taken. ' +
          'Without database_name it is so anyway',
      }),
    ),
  }),
);
export type RecoveryRequestWire = Static<typeof RecoveryRequestSchema>;

export const RestoreTimeQuerySchema = Type.Object({
  date: Type.Optional(
    Type.String({
      pattern: '^([0-9]{4}-[0-9]{2}-[0-9]{2})?$',
      description: 'A day of UTC, yyyy-mm-dd; absent: every window',
    }),
  ),
});

export const RestoreTimesSchema = named(
  'RestoreTimes',
  Type.Object({
    restore_time: Type.Array(
      Type.Object({
        start_time: Type.Integer({ description: 'Epoch ms' }),
        end_time: Type.Integer({ description: 'Epoch ms, included' }),
      }),
      { description: 'Ascending. Without archived log one is a moment: the end of a backup' },
    ),
  }),
);
