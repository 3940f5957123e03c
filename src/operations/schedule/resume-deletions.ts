import type { Catalog, PolicyRecord } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { expiringTypes } from '../../model/backup.ts';
import { isErrorKind } from '../../model/errors.ts';
import { expireBackup } from '../backup/request-backup-deletion.ts';
import { jobKinds, parseBackupPayload } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

const dayMs = 24 * 60 * 60_000;
/** The rest goes with a later round. */
const pageLimit = 100;

/**
 * Asks again for deletions of backups that expire whose job has failed for good, once a day: nobody
 * else does, and what is half deleted would take its room forever.
 */
export async function resumeDeletions(parts: Parts, record: PolicyRecord): Promise<void> {
  const { projectId, instanceId } = record;
  const items: Backup[] = [];
  for (const type of expiringTypes) {
    const filter = { projectId, instanceId, type, status: 'deleting' } as const;
    const page = { offset: 0, limit: pageLimit };
    items.push(...(await parts.catalog.backups.list(filter, page)).items);
  }
  if (items.length === 0) return;
  const asked = await listAsked(parts, record);
  for (const { id } of items) {
    if (asked.has(id)) continue;
    await expireBackup(parts, projectId, id).catch((error: unknown) => {
      // Gone in between.
      if (!isErrorKind(error, 'not-found')) throw error;
    });
  }
}

/** The backups whose deletion was asked for within the last day. */
async function listAsked(
  { catalog, clock }: { readonly catalog: Catalog; readonly clock: Parts['clock'] },
  { projectId, instanceId }: PolicyRecord,
): Promise<ReadonlySet<string>> {
  const createdFrom = new Date(clock.now().getTime() - dayMs);
  const filter = { projectId, instanceId, kind: jobKinds.deleteBackup, createdFrom };
  const asked = new Set<string>();
  for (let offset = 0; ; offset += pageLimit) {
    const { items } = await catalog.jobs.list(filter, { offset, limit: pageLimit });
    for (const { payload } of items) asked.add(parseBackupPayload(payload).backupId);
    if (items.length < pageLimit) return asked;
  }
}
