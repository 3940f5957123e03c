// Cairn's own view of an instance, and how one is registered.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { engines } from '../../model/engine-kind.ts';
import { standbysMax, tlsModes } from '../../model/instance.ts';
import { named, nullable, refTo, refusedAs, words } from './define.ts';
import { FindingSchema } from './error.ts';
import { pagingQuery } from './paging.ts';

const hostName = Type.String({ minLength: 1, maxLength: 255 });
const hostPort = Type.Integer({ minimum: 1, maximum: 65_535 });

const server = {
  url: Type.Optional(
    Type.String({
      maxLength: 4096,
      examples: [
        'postgres://user:password@db.example.com:5432/postgres?sslmode=require',
        'mysql://user:password@db.example.com:3306/?sslmode=require',
        'sqlserver://user:password@db.example.com:1433/?backupFolder=/mnt/cairn',
      ],
    }),
  ),
  engine: Type.Optional(words(engines)),
  host: Type.Optional(hostName),
  port: Type.Optional(hostPort),
  standbys: Type.Optional(
    Type.Array(Type.Object({ host: hostName, port: Type.Optional(hostPort) }), {
      maxItems: standbysMax,
      description:
        'Further servers of the same system, with the same users and TLS; a url may name them ' +
        'too. Backups prefer one that keeps up, the log comes from whichever is the primary',
    }),
  ),
  user: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  password: Type.Optional(nullable(Type.String({ maxLength: 1024 }))),
  database: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  sslmode: Type.Optional(words(tlsModes)),
  ca: Type.Optional(nullable(Type.String({ maxLength: 65_536, description: 'PEM' }))),
  options: Type.Optional(
    nullable(
      Type.Record(Type.String(), Type.String({ maxLength: 1024 }), {
        description:
          'An extension: what only this engine needs, by the names that a url gives them; of ' +
          'SQL Server backupFolder and backupFolderHere',
        examples: [{ backupFolder: '\\\\files\\cairn', backupFolderHere: '/mnt/cairn' }],
      }),
    ),
  ),
};

export const ServerAddressSchema = named(
  'ServerAddress',
  Type.Object(server, { description: 'Either url, or engine, host and user' }),
);
export type ServerAddressWire = Static<typeof ServerAddressSchema>;

export const RegisterInstanceRequestSchema = named(
  'RegisterInstanceRequest',
  Type.Object({
    name: Type.String({
      pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$',
      description: '1 to 64 letters, digits, - and _, a letter first',
      ...refusedAs('instance-name-invalid'),
    }),
    pool: Type.Optional(
      Type.String({
        pattern: '^[a-z][a-z0-9-]{0,31}$',
        description: 'Workers that do its jobs (`cairn worker --pool`); else those of `default`',
      }),
    ),
    ...server,
  }),
);
export type RegisterInstanceRequest = Static<typeof RegisterInstanceRequestSchema>;

export const RegisteredInstanceSchema = named(
  'RegisteredInstance',
  Type.Object({
    id: Type.String(),
    name: Type.String(),
    engine: words(engines),
    status: words([
      ...['building', 'active', 'create-failed', 'restoring', 'switching', 'failed'],
    ] as const),
    failure_reason: nullable(Type.String()),
    host: nullable(Type.String()),
    port: nullable(Type.Integer()),
    standbys: Type.Array(Type.Object({ host: Type.String(), port: Type.Integer() })),
    database: nullable(Type.String()),
    user: nullable(Type.String()),
    sslmode: nullable(words(tlsModes)),
    options: Type.Record(Type.String(), Type.String(), { description: 'Of this engine alone' }),
    server_version: nullable(Type.String()),
    system_identifier: nullable(Type.String()),
    managed: Type.Boolean({ description: 'Cairn started this server itself, after a restore' }),
    pool: Type.String(),
    created: Type.String(),
    updated: Type.String(),
  }),
);
export type RegisteredInstanceWire = Static<typeof RegisteredInstanceSchema>;

export const HostStateSchema = named(
  'HostState',
  Type.Object({
    host: Type.String(),
    port: Type.Integer(),
    role: words(['primary', 'standby', 'unknown'] as const),
    timeline: nullable(Type.Integer()),
    streaming: nullable(Type.Boolean({ description: 'A standby receives log now' })),
    lag_seconds: nullable(Type.Number({ description: 'Null where nobody knows' })),
    problem: nullable(Type.String({ description: 'Why it is unknown' })),
  }),
);
export type HostStateWire = Static<typeof HostStateSchema>;

export const RegisterInstanceResponseSchema = named(
  'RegisterInstanceResponse',
  Type.Object({
    instance: refTo(RegisteredInstanceSchema),
    findings: Type.Array(refTo(FindingSchema)),
  }),
);
export type RegisterInstanceResponse = Static<typeof RegisterInstanceResponseSchema>;

export const ListRegisteredQuerySchema = Type.Object({
  name: Type.Optional(Type.String()),
  ...pagingQuery,
});

export const RegisteredInstanceListSchema = named(
  'RegisteredInstanceList',
  Type.Object({
    instances: Type.Array(refTo(RegisteredInstanceSchema)),
    total_count: Type.Integer(),
  }),
);
export type RegisteredInstanceListWire = Static<typeof RegisteredInstanceListSchema>;

export const ConnectionCheckSchema = named(
  'ConnectionCheck',
  Type.Object({
    ready: Type.Boolean({ description: 'Nothing blocks a backup' }),
    server: nullable(
      Type.Object({
        server_version: Type.String(),
        major_version: Type.String(),
        system_identifier: Type.String(),
        size_bytes: Type.Integer(),
      }),
    ),
    findings: Type.Array(refTo(FindingSchema)),
  }),
);
export type ConnectionCheckWire = Static<typeof ConnectionCheckSchema>;
