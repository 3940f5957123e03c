import type { CatalogSession } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RestoreInPlacePayload, RestorePayload } from '../job-payloads.ts';
import { jobKinds, parseRestoreInPlacePayload, parseRestorePayload } from '../job-payloads.ts';

export type OpenRestore = RestorePayload | RestoreInPlacePayload;

/** The restores that have not ended: their backups and sources are in use. */
export async function listOpenRestores(
  tx: CatalogSession,
  projectId: ProjectId,
): Promise<readonly OpenRestore[]> {
  const kinds = [jobKinds.restore, jobKinds.restoreInPlace];
  const jobs = await tx.jobs.listOpenByKind(projectId, kinds);
  return jobs.map(({ kind, payload }) =>
    kind === jobKinds.restore ? parseRestorePayload(payload) : parseRestoreInPlacePayload(payload),
  );
}
