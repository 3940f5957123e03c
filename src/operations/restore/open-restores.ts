import type { CatalogSession } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RestoreInPlacePayload, RestorePayload } from '../job-payloads.ts';
import { jobKinds, parseRestoreInPlacePayload, parseRestorePayload } from '../job-payloads.ts';
import type { DatabaseRestorePayload } from '../logical/restore-payload.ts';
import { parseDatabaseRestore } from '../logical/restore-payload.ts';

export type OpenRestore = RestorePayload | RestoreInPlacePayload | DatabaseRestorePayload;

/** The restores that have not ended: their backups and sources are in use. */
export async function listOpenRestores(
  tx: CatalogSession,
  projectId: ProjectId,
): Promise<readonly OpenRestore[]> {
  const kinds = [
    ...[jobKinds.restore, jobKinds.restoreInPlace],
    ...[jobKinds.restoreDatabases, jobKinds.restoreParts],
  ];
  const jobs = await tx.jobs.listOpenByKind(projectId, kinds);
  return jobs.map(({ kind, payload }) => {
    if (kind === jobKinds.restoreDatabases) return parseDatabaseRestore(payload);
    if (kind === jobKinds.restoreInPlace) return parseRestoreInPlacePayload(payload);
    return parseRestorePayload(payload);
  });
}
