import type { CatalogSession, PolicyRecord } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { expiringTypes } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import { expireBackup } from '../backup/request-backup-deletion.ts';
import { findNewestBase } from '../log-archive/find-trims.ts';
import { leadsIntoWindow } from '../log-archive/plan-log-retention.ts';
import type { RequestParts } from '../parts.ts';
import { cutoffOf, planRetention } from './plan-retention.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

const pageLimit = 100;
/** The rest goes with the next round. */
const pagesMax = 10;

/**
 * Asks for the deletion of what has outlived the policy; answers how many. A backup that is being
 * restored from stays until that has ended.
 */
export async function applyRetention(parts: Parts, record: PolicyRecord): Promise<number> {
  const { policy, instanceId, projectId } = record;
  if (policy.kind === 'off') return 0;
  const { catalog, clock, log } = parts;
  const now = clock.now();
  const { keepDays } = policy;
  const newestCompleted = await catalog.backups.findLatestCompleted(instanceId);
  const neededByLog = await findNeededByLog(catalog, record, cutoffOf({ keepDays, now }));
  const backups = await listOld(parts, record, cutoffOf({ keepDays, now }));
  let count = 0;
  for (const id of planRetention({ keepDays, now, newestCompleted, neededByLog, backups })) {
    try {
      await expireBackup(parts, projectId, id, (tx, backup) =>
        assertExpired(tx, backup, clock.now()),
      );
      count++;
    } catch (error) {
      if (!isErrorKind(error, 'conflict') && !isErrorKind(error, 'not-found')) throw error;
      log.debug({ err: error, backupId: id }, 'an expired backup stays for now');
    }
  }
  if (count > 0) log.info({ instanceId, count, keepDays }, 'expired backups are being deleted');
  return count;
}

/**
 * Looks again, in the transaction that deletes: the policy may have changed meanwhile, and the
 * backup that was to stay may be leaving. That one is locked too, so nobody deletes it in between.
 */
async function assertExpired(tx: CatalogSession, backup: Backup, now: Date): Promise<void> {
  const { projectId, instanceId, id, name } = backup;
  const latest = await tx.backups.findLatestCompleted(instanceId);
  const kept = latest && (await tx.backups.find(projectId, latest.id));
  // Instances before policies, as everybody who reads both.
  await tx.instances.find(projectId, instanceId);
  const policy = (await tx.policies.find(instanceId))?.policy;
  const isLatestKept = latest === null || kept?.state.status === 'completed';
  if (policy?.kind === 'on' && isLatestKept) {
    const { keepDays } = policy;
    const neededByLog = await findNeededByLog(tx, backup, cutoffOf({ keepDays, now }));
    const input = { keepDays, now, newestCompleted: kept, neededByLog, backups: [backup] };
    if (planRetention(input).includes(id)) return;
  }
  throw new CairnError('conflict', `backup ${name} has not expired after all`);
}

/** The newest full backup that had ended by then, if log leads from it to later times. */
async function findNeededByLog(
  catalog: CatalogSession,
  { projectId, instanceId }: Pick<PolicyRecord, 'projectId' | 'instanceId'>,
  cutoff: Date,
): Promise<Pick<Backup, 'id'> | null> {
  const streams = await catalog.logStreams.list(instanceId);
  if (streams.length === 0) return null;
  const base = await findNewestBase(catalog, { projectId, instanceId }, cutoff);
  return base && leadsIntoWindow(base, streams, cutoff) ? base : null;
}

/** Backups that began before the moment; one that ended before has begun before. */
async function listOld(
  { catalog }: Parts,
  { projectId, instanceId }: PolicyRecord,
  startedTo: Date,
): Promise<readonly Backup[]> {
  const backups: Backup[] = [];
  for (const type of expiringTypes) {
    const filter = { projectId, instanceId, type, startedTo };
    for (let page = 0; page < pagesMax; page++) {
      const { items } = await catalog.backups.list(filter, {
        offset: page * pageLimit,
        limit: pageLimit,
      });
      backups.push(...items);
      if (items.length < pageLimit) break;
    }
  }
  return backups;
}
