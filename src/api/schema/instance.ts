// The instance as RDS clients read it. Fields without meaning for a server that is not in a cloud
// are kept with values that those clients can digest: they dereference them without looking.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, refTo, refusedAs, words } from './define.ts';
import { pagingQuery } from './paging.ts';

export const instanceStatusWords = [
  'BUILD',
  'ACTIVE',
  'CREATE FAIL',
  'RESTORING',
  'FAILED',
] as const;

const BackupStrategySchema = Type.Object({
  start_time: Type.String(),
  keep_days: Type.Integer({ description: '0: no scheduled backups' }),
});
const VolumeSchema = Type.Object({ type: Type.String(), size: Type.Integer() });

export const InstanceSchema = named(
  'Instance',
  Type.Object({
    id: Type.String(),
    name: Type.String(),
    status: words(instanceStatusWords),
    type: words(['Single', 'Ha', 'Replica']),
    private_ips: Type.Array(Type.String()),
    public_ips: Type.Array(Type.String()),
    private_dns_names: Type.Array(Type.String()),
    public_dns_names: Type.Array(Type.String()),
    port: Type.Integer(),
    enable_ssl: Type.Boolean(),
    datastore: Type.Object({
      type: words(['MySQL', 'PostgreSQL', 'SQLServer']),
      version: Type.String(),
      complete_version: Type.String(),
    }),
    created: Type.String({ description: 'Empty while it is being built' }),
    updated: Type.String(),
    db_user_name: Type.String(),
    vpc_id: Type.String(),
    subnet_id: Type.String(),
    security_group_id: Type.String(),
    region: Type.String(),
    flavor_ref: Type.String(),
    cpu: Type.String(),
    mem: Type.String(),
    volume: VolumeSchema,
    switch_strategy: Type.String(),
    backup_strategy: BackupStrategySchema,
    maintenance_window: Type.String(),
    nodes: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        role: words(['master', 'slave', 'readreplica']),
        status: Type.String(),
        availability_zone: Type.String(),
      }),
    ),
    related_instance: Type.Array(Type.Object({ id: Type.String(), type: Type.String() })),
    disk_encryption_id: Type.String(),
    enterprise_project_id: Type.String(),
    time_zone: Type.String(),
    charge_info: Type.Object({ charge_mode: Type.String() }),
    tags: Type.Array(Type.Object({ key: Type.String(), value: Type.String() })),
    alias: Type.String(),
    associated_with_ddm: Type.Boolean(),
  }),
);
export type InstanceWire = Static<typeof InstanceSchema>;

export const ListInstancesQuerySchema = Type.Object({
  id: Type.Optional(Type.String()),
  name: Type.Optional(
    Type.String({
      pattern: '^(?!\\*$)',
      description: 'The whole name; with a leading * any part of it',
    }),
  ),
  type: Type.Optional(words(['Single', 'Ha', 'Replica'])),
  datastore_type: Type.Optional(
    words(['MySQL', 'PostgreSQL', 'SQLServer'], refusedAs('database-type-invalid')),
  ),
  tags: Type.Optional(
    Type.String({ maxLength: 4096, description: 'key=value,key2=value2; all must be there' }),
  ),
  vpc_id: Type.Optional(Type.String({ description: 'No instance has one: matches nothing' })),
  subnet_id: Type.Optional(Type.String({ description: 'No instance has one: matches nothing' })),
  group_type: Type.Optional(Type.String({ description: 'No instance has one: matches nothing' })),
  eps_id: Type.Optional(
    Type.String({ description: '0 and all_granted_eps match every instance, others none' }),
  ),
  ...pagingQuery,
});
export type ListInstancesQuery = Static<typeof ListInstancesQuerySchema>;

export const InstanceListSchema = named(
  'InstanceList',
  Type.Object({ instances: Type.Array(refTo(InstanceSchema)), total_count: Type.Integer() }),
);

export const SimplifiedInstancesRequestSchema = named(
  'ListSimplifiedInstancesRequest',
  Type.Object({
    instance_ids: Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 100 }),
  }),
);

const SimplifiedInstanceSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  engine_name: Type.String(),
  engine_version: Type.String(),
  instance_status: Type.String({
    description: 'normal, creating, createfail, or abnormal (also while it is restored over)',
  }),
  frozen: Type.Boolean(),
  type: Type.String(),
  pay_model: Type.String({ description: '0: on demand' }),
  spec_code: Type.String(),
  availability_zone_ids: Type.Array(Type.String()),
  read_only_instances: Type.Array(Type.String()),
  current_actions: Type.Array(Type.String()),
  volume_type: Type.String(),
  volume_size: Type.Integer(),
  enterprise_project_id: Type.String(),
});
export type SimplifiedInstanceWire = Static<typeof SimplifiedInstanceSchema>;

export const SimplifiedInstanceListSchema = named(
  'SimplifiedInstanceList',
  Type.Object({ instances: Type.Array(SimplifiedInstanceSchema) }),
);
