import type { Static } from 'typebox';
import { Type } from 'typebox';
import { ignored, named, nullable, refusedAs, words } from './define.ts';

const portMin = 1024;
const portMax = 65_535;
/** The year 9999: beyond it a `Date` has no four-digit year. */
const timeMsMax = 253_402_300_799_000;

const RestorePointSchema = Type.Object({
  instance_id: Type.String({
    pattern: '^[0-9A-Za-z-]{1,64}$',
    description: 'The source; it may be gone',
    ...refusedAs('instance-id-malformed'),
  }),
  type: Type.Optional(words(['backup', 'timestamp'])),
  backup_id: Type.Optional(nullable(Type.String())),
  restore_time: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: timeMsMax }))),
  database_name: Type.Optional(nullable(Type.Record(Type.String(), Type.String()))),
});

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
    backup_strategy: ignored('the policy'),
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
        backup_id: Type.String(),
      }),
    }),
    job_id: Type.String(),
  }),
);
export type RestoreResponseWire = Static<typeof RestoreResponseSchema>;

/** Null when the text names no port that a server may have; 0 means any free one. */
export function readPort(port: RestoreRequestWire['port']): number | null {
  if (port === undefined || port === null || port === '') return 0;
  const value = Number(port);
  return Number.isInteger(value) && value >= portMin && value <= portMax ? value : null;
}
