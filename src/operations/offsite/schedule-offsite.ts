import type { CatalogSession, PolicyRecord } from '../../catalog/catalog.ts';
import { jobKinds, parseCopyOffsitePayload } from '../job-payloads.ts';
import { insertInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';
import type { OffsiteFacts } from './plan-offsite.ts';
import { isCopyDue } from './plan-offsite.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

const pageLimit = 200;

/**
 * Asks for the copies that are due: after each completed backup of an instance with an off-site
 * policy, after a failure, and once a day. Of many replicas one asks. Answers how many.
 */
export async function scheduleOffsiteCopies(
  parts: Parts,
  options: { readonly removeOlder: boolean; readonly signal: AbortSignal },
): Promise<number> {
  const { catalog, log } = parts;
  let count = 0;
  for (let offset = 0; !options.signal.aborted; offset += pageLimit) {
    const records = await catalog.policies.listOffsite({ offset, limit: pageLimit });
    for (const record of records) {
      try {
        if (await askForCopy(parts, record, options.removeOlder)) count++;
      } catch (error) {
        log.error({ err: error, instanceId: record.instanceId }, 'an off-site policy failed');
      }
    }
    if (records.length < pageLimit) break;
  }
  return count;
}

async function askForCopy(
  parts: Parts,
  { projectId, instanceId }: PolicyRecord,
  removeOlder: boolean,
): Promise<boolean> {
  const now = parts.clock.now();
  const of = { projectId, instanceId };
  // Most are not due: they cost no transaction.
  if (!isCopyDue(await readFacts(parts.catalog, of), now)) return false;
  return await parts.catalog.transaction(async (tx) => {
    // Instances before policies, as everybody who reads both.
    await tx.instances.find(projectId, instanceId);
    const record = await tx.policies.find(instanceId);
    const facts = await readFacts(tx, of);
    const { newestBackupId } = facts;
    if (!record || record.offsite.length === 0 || !newestBackupId) return false;
    if (!isCopyDue(facts, now)) return false;
    const payload = { newestBackupId, removeOlder };
    await insertInstanceJob(tx, parts, { kind: jobKinds.copyOffsite, ...of, payload });
    return true;
  });
}

async function readFacts(
  { backups, jobs }: CatalogSession,
  { projectId, instanceId }: Pick<PolicyRecord, 'projectId' | 'instanceId'>,
): Promise<OffsiteFacts> {
  const newest = await backups.findLatestCompleted(instanceId, 'any');
  const filter = { projectId, instanceId, kind: jobKinds.copyOffsite };
  const [job] = (await jobs.list(filter, { offset: 0, limit: 1 })).items;
  return {
    newestBackupId: newest?.id ?? null,
    last: job
      ? {
          ...{ status: job.status, endedAt: job.endedAt },
          newestBackupId: parseCopyOffsitePayload(job.payload).newestBackupId,
        }
      : null,
  };
}
