import type { Static } from 'typebox';
import { Type } from 'typebox';
import { ignored, named, refusedAs, words } from './define.ts';
import { RestorePointSchema } from './restore-point.ts';
import { TagListSchema } from './tag.ts';

const portMin = 1024;
const portMax = 65_535;
export const RestoreRequestSchema = named(
  'RestoreToNewInstanceRequest',
  Type.Object({
    name: Type.String({
      pattern: '^[A-Za-z][A-Za-z0-9_-]{3,63}$',
      ...refusedAs('instance-name-invalid'),
    }),
    restore_point: Type.Optional(RestorePointSchema),
    datastore: Type.Optional(
      Type.Object({ type: Type.Optional(Type.String()), version: Type.Optional(Type.String()) }),
    ),
    port: Type.Optional(
      Type.Union([
        Type.String({ pattern: '^([0-9]{1,5})?$' }),
        Type.Integer({ minimum: portMin, maximum: portMax }),
        Type.Null(),
      ]),
    ),
    flavor_ref: ignored('the size of the server'),
    volume: ignored('the disk'),
    availability_zone: ignored('the zone'),
    vpc_id: ignored('the network'),
    subnet_id: ignored('the network'),
    security_group_id: ignored('the network'),
    region: ignored('the region'),
    password: ignored('users and passwords are those of the backup'),
    backup_strategy: Type.Optional(
      Type.Object(
        {
          start_time: Type.Optional(Type.String({ description: 'hh:mm-HH:MM of UTC, one hour' })),
          keep_days: Type.Optional(
            Type.Union([Type.Integer(), Type.String({ pattern: '^[0-9]{1,5}$' })]),
          ),
        },
        { description: 'The policy of the new instance, on every weekday; absent: the default' },
      ),
    ),
    tags: Type.Optional(TagListSchema),
    dry_run: Type.Optional(
      Type.Boolean({ description: 'Only checks: the ids of the answer are empty' }),
    ),
  }),
);
export type RestoreRequestWire = Static<typeof RestoreRequestSchema>;

export const RestoreResponseSchema = named(
  'RestoreToNewInstanceResponse',
  Type.Object({
    instance: Type.Object({
      id: Type.String(),
      name: Type.String(),
      status: words(['BUILD']),
      datastore: Type.Object({ type: Type.String(), version: Type.String() }),
      port: Type.String({ description: 'A string here, a number in the list' }),
      volume: Type.Object({ type: Type.String(), size: Type.Integer() }),
      region: Type.String(),
      backup_strategy: Type.Object({ start_time: Type.String(), keep_days: Type.Integer() }),
      flavor_ref: Type.String(),
      availability_zone: Type.String(),
      vpc_id: Type.String(),
      subnet_id: Type.String(),
      security_group_id: Type.String(),
      restore_point: Type.Object({
        instance_id: Type.String(),
        type: Type.String(),
        backup_id: Type.Optional(Type.String()),
        restore_time: Type.Optional(Type.Integer({ description: 'Epoch ms' })),
      }),
    }),
    job_id: Type.String(),
  }),
);
export type RestoreResponseWire = Static<typeof RestoreResponseSchema>;

export const ClientTokenHeaderSchema = Type.Object({
  'x-client-token': Type.Optional(
    Type.String({
      pattern: '^[0-9A-Za-z-]{0,64}$',
      description:
        'The same token within 72 hours is the same request: its answer comes again. With ' +
        'another request: 409 DBS.201201',
    }),
  ),
});

/** Null when the text names no port that a server may have; 0 means any free one. */
export function readPort(port: RestoreRequestWire['port']): number | null {
  if (port === undefined || port === null || port === '') return 0;
  const value = Number(port);
  return Number.isInteger(value) && value >= portMin && value <= portMax ? value : null;
}
