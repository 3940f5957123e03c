// Restoring to a new instance: the target is inserted as `building` together with the job that
// builds it. Whether this host has the binaries for the version is the worker's to say: it is the
// worker that starts them.
import type { CatalogSession, Tag } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { BackupPolicy } from '../../model/backup-policy.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { JobId } from '../../model/ids.ts';
import { newInstanceId, newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { defaultPool } from '../../model/instance.ts';
import { idSource } from '../../platform/random.ts';
import { getBackup } from '../backup/get-backup.ts';
import { assertQuota } from '../instances/instance-quota.ts';
import { assertInstanceName, insertNamed } from '../instances/register-instance.ts';
import type { RestorePayload } from '../job-payloads.ts';
import { formatRestorePayload, jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import { emptyPolicy } from '../policy/get-policy.ts';
import { policyFromStrategy } from '../policy/policy-rules.ts';
import { assertTagCount, assertTagsWellFormed } from '../tags/tag-rules.ts';
import { keepToken, replay } from './client-token.ts';
import type { ResolvedPoint, RestoreSource } from './restore-point.ts';
import { assertRestorable, assertSameServer, resolvePoint } from './restore-point.ts';

export type BackupStrategy = { readonly startTime: string; readonly keepDays: number };

export type RestoreRequest = RestoreSource & {
  /** The name of the new instance. */
  readonly name: string;
  /** 0: any free port. */
  readonly port: number;
  /** What the caller believes the source to be; null: no claim. */
  readonly engine: Engine | null;
  readonly version: string | null;
  /** The policy of the new instance; null: the one that new instances get. */
  readonly strategy: BackupStrategy | null;
  readonly tags: readonly Tag[];
};

export type RestoreResult = {
  readonly instance: Instance;
  readonly jobId: JobId;
  readonly policy: BackupPolicy;
};

export type RestoreOptions = {
  /** Requests with one token are one request; null: each stands for itself. */
  readonly clientToken: string | null;
  /** `check`: everything is looked at and nothing is made; the result was never stored. */
  readonly effect: 'restore' | 'check';
};

/**
 * The source instance may be gone: its manual backups stay. @throws invalid, not-found, conflict
 */
export async function requestRestore(
  parts: RequestParts,
  request: RestoreRequest,
  { clientToken, effect }: RestoreOptions,
): Promise<RestoreResult> {
  assertInstanceName(request.name);
  assertTagsWellFormed(request.tags);
  assertTagCount(request.tags);
  const earlier = clientToken && (await replay(parts, request, clientToken));
  if (earlier) return earlier;
  const resolved = await resolvePoint(parts.catalog, request);
  const attempt = (): Promise<RestoreResult> =>
    insertNamed(request.name, () =>
      parts.catalog.transaction(async (tx) => {
        const result = await accept(tx, parts, request, resolved);
        if (clientToken) await keepToken(tx, parts, { ...result, request, clientToken });
        if (effect === 'check') throw new CheckedOnly(result);
        return result;
      }),
    );
  try {
    const result = await attempt();
    parts.log.info({ instanceId: result.instance.id, jobId: result.jobId }, 'restore accepted');
    return result;
  } catch (error) {
    if (error instanceof CheckedOnly) return error.result;
    // The same request may have been accepted at the same moment: then its answer is ours too.
    const twin = clientToken && (await replay(parts, request, clientToken));
    if (twin) return twin;
    throw error;
  }
}

/** @throws invalid */
function assertStartable({ engines }: Pick<RequestParts, 'engines'>, { engine }: Backup): void {
  if (driverFor(engines, engine).capabilities.ownServers) return;
  throw new CairnError('invalid', `Cairn starts no server of ${engine}`, {
    reason: 'new-instance-not-offered',
    hint: 'register a server that runs, and restore into it: POST instances/recovery',
  });
}

/** Rolls the transaction back that has shown that it would succeed. */
class CheckedOnly extends Error {
  readonly result: RestoreResult;

  constructor(result: RestoreResult) {
    super('checked only');
    this.result = result;
  }
}

async function accept(
  tx: CatalogSession,
  parts: RequestParts,
  request: RestoreRequest,
  { backupId, recovery }: ResolvedPoint,
): Promise<RestoreResult> {
  const backup = await getBackup(tx, request.projectId, backupId);
  assertStartable(parts, backup);
  assertRestorable(parts, backup, request);
  assertSameServer(backup, request);
  await assertQuota(tx, parts, request.projectId);
  const source = await tx.instances.find(request.projectId, backup.instanceId);
  const instance = buildTarget(parts, backup, request, source?.pool ?? defaultPool);
  const { id, createdAt, projectId } = instance;
  const policy = planPolicy(parts, request, backup.engine);
  await tx.instances.insert(instance);
  await tx.policies.put({ ...emptyPolicy(projectId, id, createdAt), policy });
  for (const tag of request.tags) await tx.tags.put(projectId, { ...tag, instanceId: id });
  const jobId = await insertJob(tx, parts, { instance, backup, recovery, port: request.port });
  return { instance, jobId, policy };
}

/** @throws invalid */
export function planPolicy(
  { defaultPolicy }: Pick<RequestParts, 'defaultPolicy'>,
  { strategy }: Pick<RestoreRequest, 'strategy'>,
  engine: Engine,
): BackupPolicy {
  return strategy ? policyFromStrategy(strategy, engine) : defaultPolicy;
}

function buildTarget(
  parts: Pick<RequestParts, 'clock' | 'random'>,
  backup: Backup,
  request: RestoreRequest,
  pool: string,
): Instance {
  const now = parts.clock.now();
  return {
    id: newInstanceId(idSource(parts.random), backup.engine),
    projectId: request.projectId,
    name: request.name,
    engine: backup.engine,
    state: { status: 'building' },
    connection: null,
    serverVersion: backup.serverVersion,
    systemIdentifier: null,
    managed: null,
    pool,
    createdAt: now,
    updatedAt: now,
  };
}

async function insertJob(
  tx: CatalogSession,
  parts: Pick<RequestParts, 'random'>,
  {
    instance,
    backup,
    recovery,
    port,
  }: Pick<ResolvedPoint, 'recovery'> & {
    readonly instance: Instance;
    readonly backup: Backup;
    readonly port: number;
  },
): Promise<JobId> {
  const jobId = newJobId(idSource(parts.random));
  const payload: RestorePayload = {
    backupId: backup.id,
    sourceInstanceId: backup.instanceId,
    targetInstanceId: instance.id,
    recovery,
    port,
  };
  await tx.jobs.insert({
    id: jobId,
    projectId: instance.projectId,
    kind: jobKinds.restore,
    pool: instance.pool,
    instanceId: instance.id,
    instanceName: instance.name,
    payload: formatRestorePayload(payload),
    attemptsMax: jobAttemptsMax[jobKinds.restore],
    createdAt: instance.createdAt,
  });
  return jobId;
}
