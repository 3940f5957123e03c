import type { RestoredLogin } from '../../engines/engine.ts';
import { defaultDatabases } from '../../model/engine-kind.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Connection, Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import type { WorkerParts } from '../worker-parts.ts';

const roleIdLength = 8;

/**
 * Whom the target is reached as once it is restored. The roles of the backup are those of the
 * source. When that is gone nobody knows their passwords, and none may be changed behind its
 * owner's back: the target keeps the login that it has, and a new one gets a role of its own.
 */
export async function findRestoredLogin(
  job: Pick<Job, 'projectId'>,
  sourceInstanceId: InstanceId,
  target: Pick<Instance, 'id' | 'engine' | 'connection'>,
  { catalog }: Pick<WorkerParts, 'catalog'>,
): Promise<RestoredLogin> {
  const source = await catalog.instances.find(job.projectId, sourceInstanceId);
  if (source?.connection) return { connection: source.connection, rolePassword: 'ensure' };
  return { connection: target.connection ?? ownLogin(target), rolePassword: 'create' };
}

/** No backup of another instance can hold a role of this name. */
function ownLogin({ id, engine }: Pick<Instance, 'id' | 'engine'>): Connection {
  const here = { host: '127.0.0.1', port: 0, tls: 'disable', tlsCaPem: null } as const;
  return {
    ...here,
    standbys: [],
    user: `cairn_${id.slice(0, roleIdLength)}`,
    database: defaultDatabases[engine],
    password: null,
  };
}
