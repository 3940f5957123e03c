import type { Tag } from '../../catalog/catalog.ts';
import type { BackupPolicy } from '../../model/backup-policy.ts';
import { defaultPorts, engineTitles } from '../../model/engine-kind.ts';
import type { Instance } from '../../model/instance.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { HostState } from '../../operations/instances/look-at-hosts.ts';
import type { InstanceWire, SimplifiedInstanceWire } from '../schema/instance.ts';
import type { HostStateWire, RegisteredInstanceWire } from '../schema/registered-instance.ts';
import { formatWireTime } from '../wire-time.ts';
import { presentStrategy } from './strategy.ts';

const statusWords: Readonly<Record<Instance['state']['status'], InstanceWire['status']>> = {
  building: 'BUILD',
  active: 'ACTIVE',
  'create-failed': 'CREATE FAIL',
  restoring: 'RESTORING',
  switching: 'RESTORING',
  failed: 'FAILED',
};

export function instanceStatusOf({ state }: Pick<Instance, 'state'>): InstanceWire['status'] {
  return statusWords[state.status];
}

// A registered server has no flavour, disk or network that we know. Terraform providers read these
// fields without looking, so each has the smallest value that they accept.
export const cloudFields = {
  vpc_id: '',
  subnet_id: '',
  security_group_id: '',
  flavor_ref: 'cairn.registered',
  cpu: '',
  mem: '',
  volume: { type: 'CLOUDSSD', size: 40 },
  switch_strategy: '',
  maintenance_window: '02:00-06:00',
  disk_encryption_id: '',
  enterprise_project_id: '',
  charge_info: { charge_mode: 'postPaid' },
  associated_with_ddm: false,
} as const;
export const zone = 'az1';

/** What a list knows of an instance besides the instance itself. */
export type InstanceSurroundings = {
  readonly region: string;
  readonly policy: BackupPolicy;
  readonly tags: readonly Tag[];
};

export function presentInstance(
  instance: Instance,
  { region, policy, tags }: InstanceSurroundings,
): InstanceWire {
  const { engine, connection, state } = instance;
  const complete = instance.serverVersion ?? '';
  const host = connection && presentHost(connection.host);
  const isBuilding = state.status === 'building';
  return {
    ...cloudFields,
    id: instance.id,
    name: instance.name,
    status: statusWords[state.status],
    type: 'Single',
    private_ips: host === null ? [] : [host],
    public_ips: [],
    private_dns_names: host === null ? [] : [host],
    public_dns_names: [],
    port: connection?.port ?? defaultPorts[engine],
    enable_ssl: connection !== null && connection.tls !== 'disable',
    datastore: {
      type: engineTitles[engine],
      version: majorVersion(engine, complete),
      complete_version: complete,
    },
    created: isBuilding ? '' : formatWireTime(instance.createdAt),
    updated: isBuilding ? '' : formatWireTime(instance.updatedAt),
    db_user_name: connection?.user ?? '',
    region,
    nodes: [
      {
        id: instance.id.replace(/in(?=\d\d$)/, 'no'),
        name: `${instance.name}_node0`,
        role: 'master',
        status: statusWords[state.status],
        availability_zone: zone,
      },
    ],
    related_instance: [],
    time_zone: 'UTC',
    backup_strategy: presentStrategy(policy),
    tags: tags.map(({ key, value }) => ({ key, value })),
    alias: '',
  };
}

const simplifiedWords: Readonly<Record<Instance['state']['status'], string>> = {
  building: 'creating',
  active: 'normal',
  'create-failed': 'createfail',
  restoring: 'abnormal',
  switching: 'abnormal',
  failed: 'abnormal',
};

export function presentSimplified(instance: Instance): SimplifiedInstanceWire {
  const { id, name, engine, serverVersion, state } = instance;
  const isRestoring = state.status === 'restoring' || state.status === 'switching';
  return {
    ...{ id, name },
    engine_name: engine,
    engine_version: majorVersion(engine, serverVersion ?? ''),
    instance_status: simplifiedWords[state.status],
    frozen: false,
    type: 'Single',
    pay_model: '0',
    spec_code: cloudFields.flavor_ref,
    availability_zone_ids: [zone],
    read_only_instances: [],
    current_actions: isRestoring ? ['RESTORING'] : [],
    volume_type: cloudFields.volume.type,
    volume_size: cloudFields.volume.size,
    enterprise_project_id: '',
  };
}

/** Never the password, nor whether there is one. */
export function presentRegisteredInstance(instance: Instance): RegisteredInstanceWire {
  const { connection, state } = instance;
  return {
    id: instance.id,
    name: instance.name,
    engine: instance.engine,
    status: state.status,
    failure_reason: 'reason' in state ? state.reason : null,
    host: connection && connection.host,
    port: connection && connection.port,
    standbys: connection?.standbys.map(({ host, port }) => ({ host, port })) ?? [],
    database: connection && connection.database,
    user: connection && connection.user,
    sslmode: connection && connection.tls,
    options: { ...connection?.options },
    server_version: instance.serverVersion,
    system_identifier: instance.systemIdentifier,
    managed: instance.managed !== null,
    pool: instance.pool,
    created: formatWireTime(instance.createdAt),
    updated: formatWireTime(instance.updatedAt),
  };
}

export function presentHostState(state: HostState): HostStateWire {
  const { host, port, role } = state;
  const none = { timeline: null, streaming: null, lag_seconds: null, problem: null };
  if (role === 'unknown') return { host, port, role, ...none, problem: state.problem };
  const known = { host, port, role, ...none, timeline: state.timeline };
  if (role === 'primary') return known;
  const { isStreaming, lagMs } = state;
  return { ...known, streaming: isStreaming, lag_seconds: lagMs === null ? null : lagMs / 1000 };
}

/** A folder of sockets is on this machine. */
function presentHost(host: string): string {
  return host.startsWith('/') ? 'localhost' : host;
}
