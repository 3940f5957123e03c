// Restoring databases or tables as they were at a moment, into the server that they come from,
// beside what it has: a hidden server is restored to that moment, and they are copied over.
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
import type { ResolvedPoint } from '../restore/restore-point.ts';
import { resolvePoint } from '../restore/restore-point.ts';
import { assertNewNames, assertTableNames } from './database-names.ts';
import type { PartsSelection } from './parts-payload.ts';
import { formatPartsRestore } from './parts-payload.ts';

export type PartsRestoreRequest = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly at: Date;
  readonly selection: PartsSelection;
};

export type AskedRestore = { readonly instanceId: InstanceId; readonly jobId: JobId };

/** All of them are accepted, or none. @throws invalid, not-found, conflict */
export async function requestPartsRestores(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>,
  requests: readonly PartsRestoreRequest[],
): Promise<readonly AskedRestore[]> {
  const instances = new Set(requests.map(({ instanceId }) => instanceId));
  if (instances.size < requests.length) {
    throw new CairnError('invalid', 'an instance is named twice');
  }
  const resolved: ({ readonly request: PartsRestoreRequest } & ResolvedPoint)[] = [];
  for (const request of requests) {
    const { projectId, instanceId: sourceInstanceId } = request;
    const { engine } = await getInstance(parts.catalog, projectId, sourceInstanceId);
    assertNames(request.selection, engine);
    const point = targetTime(request.at);
    const source = { projectId, sourceInstanceId, point, skippedTransactions: [] };
    resolved.push({ request, ...(await resolvePoint(parts.catalog, source)) });
  }
  const asked = await parts.catalog.transaction(async (tx) => {
    const jobs: AskedRestore[] = [];
    for (const { request, backupId, recovery } of resolved) {
      const { projectId, instanceId, selection } = request;
      const instance = await getInstance(tx, projectId, instanceId);
      const obstacle = await findObstacle(tx, instance);
      if (obstacle) throw obstacle;
      const id = newJobId(idSource(parts.random));
      const ids = { backupId, sourceInstanceId: instanceId, targetInstanceId: instanceId };
      await tx.jobs.insert({
        ...{ id, projectId, instanceId, createdAt: parts.clock.now() },
        payload: formatPartsRestore({ ...ids, recovery, selection, port: 0 }),
        kind: jobKinds.restoreParts,
        pool: instance.pool,
        instanceName: instance.name,
        attemptsMax: jobAttemptsMax[jobKinds.restoreParts],
      });
      jobs.push({ instanceId, jobId: id });
    }
    return jobs;
  });
  parts.log.info({ jobIds: asked.map(({ jobId }) => jobId) }, 'restores accepted');
  return asked;
}

function assertNames(selection: PartsSelection, engine: Engine): void {
  if (selection.kind === 'databases') assertNewNames(selection.databases, engine);
  else for (const { tables } of selection.databases) assertTableNames(tables, engine);
}
