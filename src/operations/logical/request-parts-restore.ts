// Restoring databases or tables as they were at a moment, into the server that they come from,
// beside what it has: a hidden server is restored to that moment, and they are copied over. Where
// Cairn starts no servers, the server itself restores its databases.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import { targetTime } from '../../model/recovery-target.ts';
import { idSource } from '../../platform/random.ts';
import { findObstacle } from '../backup/accept-backup.ts';
import { getInstance } from '../instances/get-instance.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import type { ResolvedPoint } from '../restore/restore-point.ts';
import { resolvePoint } from '../restore/restore-point.ts';
import { assertNewNames, assertTableNames } from './database-names.ts';
import type { PartsSelection } from './parts-payload.ts';
import { formatPartsRestore } from './parts-payload.ts';
import { acceptDatabaseRestore } from './request-database-restore.ts';

export type PartsRestoreRequest = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly at: Date;
  readonly selection: PartsSelection;
};

export type AskedRestore = { readonly instanceId: InstanceId; readonly jobId: JobId };

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log' | 'engines'>;
type ResolvedRequest = { readonly request: PartsRestoreRequest } & ResolvedPoint;

/** All of them are accepted, or none. @throws invalid, not-found, conflict */
export async function requestPartsRestores(
  parts: Parts,
  requests: readonly PartsRestoreRequest[],
): Promise<readonly AskedRestore[]> {
  const instances = new Set(requests.map(({ instanceId }) => instanceId));
  if (instances.size < requests.length) {
    throw new CairnError('invalid', 'an instance is named twice');
  }
  const resolved: ResolvedRequest[] = [];
  for (const request of requests) {
    const { projectId, instanceId: sourceInstanceId } = request;
    const { engine } = await getInstance(parts.catalog, projectId, sourceInstanceId);
    assertOffered(parts, engine, request.selection);
    assertNames(request.selection, engine);
    const point = targetTime(request.at);
    const source = { projectId, sourceInstanceId, point, skippedTransactions: [] };
    resolved.push({ request, ...(await resolvePoint(parts.catalog, source)) });
  }
  const asked = await parts.catalog.transaction(async (tx) => {
    const jobs: AskedRestore[] = [];
    for (const one of resolved) {
      jobs.push({ instanceId: one.request.instanceId, jobId: await accept(tx, parts, one) });
    }
    return jobs;
  });
  parts.log.info({ jobIds: asked.map(({ jobId }) => jobId) }, 'restores accepted');
  return asked;
}

async function accept(
  tx: CatalogSession,
  parts: Parts,
  { request, backupId, recovery }: ResolvedRequest,
): Promise<JobId> {
  const { projectId, instanceId, selection } = request;
  const ids = { backupId, sourceInstanceId: instanceId, targetInstanceId: instanceId };
  const instance = await getInstance(tx, projectId, instanceId);
  if (!hasOwnServers(parts, instance.engine) && selection.kind === 'databases') {
    // The server itself restores it to the moment: no hidden one is needed.
    return await acceptDatabaseRestore(tx, parts, {
      ...{ ...ids, projectId, recovery, databases: selection.databases },
      ...{ replace: false, missingRoles: 'refuse', rules: 'server' },
    });
  }
  const obstacle = await findObstacle(tx, instance);
  if (obstacle) throw obstacle;
  const id = newJobId(idSource(parts.random));
  await tx.jobs.insert({
    ...{ id, projectId, instanceId, createdAt: parts.clock.now() },
    payload: formatPartsRestore({ ...ids, recovery, selection, port: 0 }),
    kind: jobKinds.restoreParts,
    pool: instance.pool,
    instanceName: instance.name,
    attemptsMax: jobAttemptsMax[jobKinds.restoreParts],
  });
  return id;
}

function hasOwnServers({ engines }: Parts, engine: Engine): boolean {
  return driverFor(engines, engine).capabilities.ownServers;
}

/** Tables are copied out of a server of our own. @throws invalid */
function assertOffered(parts: Parts, engine: Engine, { kind }: PartsSelection): void {
  if (kind === 'databases' || hasOwnServers(parts, engine)) return;
  throw new CairnError('invalid', `single tables of ${engine} are not restored`, {
    reason: 'databases-not-offered',
    hint: 'restore their database under another name, and copy them from there',
  });
}

function assertNames(selection: PartsSelection, engine: Engine): void {
  if (selection.kind === 'databases') assertNewNames(selection.databases, engine);
  else for (const { tables } of selection.databases) assertTableNames(tables, engine);
}
