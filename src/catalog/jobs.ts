// The rows of the queue. A write of a running job names its lease (job, owner, fence) in the
// `where` clause, so that a worker which lost the lease changes nothing, however late it comes.
import { CairnError } from '../model/errors.ts';
import type { JobId } from '../model/ids.ts';
import type { JobFilter, JobRecords, Lease } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { claimJob } from './job-claim.ts';
import { toJob, toNewJobRow } from './job-rows.ts';
import { countRows, readNewest } from './paging.ts';
import type { JobRow } from './schema.ts';

type Database = CatalogDatabase['db'];

/** More jobs of dead workers than this wait for the next look. */
const abandonedMax = 100;

export function jobRecords(database: CatalogDatabase): JobRecords {
  return { ...readingRecords(database), ...leasedRecords(database), ...queueRecords(database) };
}

function readingRecords({
  db,
}: CatalogDatabase): Pick<
  JobRecords,
  'find' | 'list' | 'listOpen' | 'listOpenByKind' | 'listAbandoned'
> {
  return {
    async find(projectId, id) {
      const row = await db
        .selectFrom('jobs')
        .selectAll()
        .where('id', '=', id)
        .where('project_id', '=', projectId)
        .executeTakeFirst();
      return row ? toJob(row) : null;
    },
    async list(filter, page) {
      const matching = selectMatching(db, filter);
      const rows = await readNewest(matching.selectAll(), 'created_at', page);
      return { items: rows.map(toJob), total: await countRows(matching) };
    },
    async listOpen(instanceId) {
      const rows = await db
        .selectFrom('jobs')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .where('status', 'in', ['queued', 'running'])
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map(toJob);
    },
    async listOpenByKind(projectId, kinds) {
      const rows = await db
        .selectFrom('jobs')
        .selectAll()
        .where('status', 'in', ['queued', 'running'])
        .where('project_id', '=', projectId)
        .where('kind', 'in', [...kinds])
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map(toJob);
    },
    async listAbandoned(now, deadOwners) {
      const rows = await db
        .selectFrom('jobs')
        .selectAll()
        .where('status', '=', 'running')
        .where((eb) => {
          const isExpired = eb('lease_expires_at', '<=', now.getTime());
          if (deadOwners.length === 0) return isExpired;
          return eb.or([isExpired, eb('lease_owner', 'in', [...deadOwners])]);
        })
        .orderBy('created_at')
        .orderBy('id')
        .limit(abandonedMax)
        .execute();
      return rows.map(toJob);
    },
  };
}

function leasedRecords(
  database: CatalogDatabase,
): Pick<JobRecords, 'renew' | 'assertLease' | 'end' | 'retry' | 'giveBack' | 'setResult'> {
  const { db, traits } = database;
  return {
    async renew(lease, leaseExpiresAt, progress) {
      const row = await updateLeased(db, lease)
        .set({
          lease_expires_at: leaseExpiresAt.getTime(),
          ...(progress && { progress: JSON.stringify(progress) }),
        })
        .returning('cancel_requested')
        .executeTakeFirst();
      return { held: row !== undefined, cancelRequested: row?.cancel_requested === 1 };
    },
    async assertLease(lease) {
      const row = await db
        .selectFrom('jobs')
        .select('id')
        .where('id', '=', lease.jobId)
        .where('lease_owner', '=', lease.owner)
        .where('fence', '=', lease.fence)
        .where('status', '=', 'running')
        // Until the transaction ends nobody can take the job over: what it writes is written under
        // the lease.
        .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
        .executeTakeFirst();
      if (!row) throw staleLease(lease);
    },
    async setResult(id, result) {
      const row = { result: JSON.stringify(result) };
      await db.updateTable('jobs').set(row).where('id', '=', id).execute();
    },
    async end(lease, outcome, at) {
      const error = outcome.status === 'succeeded' ? null : JSON.stringify(outcome.error);
      const result = await updateLeased(db, lease)
        .set({ ...noLease, status: outcome.status, error, ended_at: at.getTime() })
        .executeTakeFirst();
      if (result.numUpdatedRows === 0n) throw staleLease(lease);
    },
    async retry(lease, error, notBefore) {
      const result = await updateLeased(db, lease)
        .set({
          ...noLease,
          status: 'queued',
          error: JSON.stringify(error),
          not_before: notBefore.getTime(),
        })
        .executeTakeFirst();
      if (result.numUpdatedRows === 0n) throw staleLease(lease);
    },
    async giveBack(lease, notBefore) {
      const result = await updateLeased(db, lease)
        .set((eb) => ({
          ...noLease,
          status: 'queued',
          attempt: eb('attempt', '-', 1),
          not_before: notBefore.getTime(),
        }))
        .executeTakeFirst();
      if (result.numUpdatedRows === 0n) throw staleLease(lease);
    },
  };
}

function queueRecords(
  database: CatalogDatabase,
): Pick<JobRecords, 'insert' | 'claim' | 'takeOver' | 'requestCancel' | 'deleteEndedBefore'> {
  const { db } = database;
  return {
    async insert(job) {
      const insert = db.insertInto('jobs').values(toNewJobRow(job));
      await explainConflict(insert.execute(), { jobs_pkey: `job ${job.id} exists` });
    },
    claim: (request) => claimJob(database, request),
    async takeOver(job, owner, leaseExpiresAt) {
      if (job.leaseOwner === null || job.leaseExpiresAt === null) return null;
      const seen: Lease = { jobId: job.id, owner: job.leaseOwner, fence: job.fence };
      const row = await updateLeased(db, seen)
        // A worker that was only late may have renewed since: then nothing is abandoned.
        .where('lease_expires_at', '=', job.leaseExpiresAt.getTime())
        .set((eb) => ({
          lease_owner: owner,
          lease_expires_at: leaseExpiresAt.getTime(),
          fence: eb('fence', '+', 1),
        }))
        .returning('fence')
        .executeTakeFirst();
      return row ? { jobId: job.id, owner, fence: row.fence } : null;
    },
    async deleteEndedBefore(at, limit) {
      const old = db
        .selectFrom('jobs')
        .select('id')
        .where('ended_at', '<', at.getTime())
        .orderBy('ended_at')
        .limit(limit);
      const result = await db.deleteFrom('jobs').where('id', 'in', old).executeTakeFirst();
      return Number(result.numDeletedRows);
    },
    requestCancel: (id, at) => inTransaction(database, (tx) => cancelJob(tx, id, at)),
  };
}

const noLease = {
  lease_owner: null,
  lease_expires_at: null,
} as const satisfies Partial<JobRow>;

async function cancelJob(
  { db, traits }: CatalogDatabase,
  id: JobId,
  at: Date,
): Promise<{ ended: boolean }> {
  const job = await db
    .selectFrom('jobs')
    .select('status')
    .where('id', '=', id)
    .$if(traits.hasRowLocks, (query) => query.forUpdate())
    .executeTakeFirst();
  if (!job) throw new CairnError('not-found', `job ${id} does not exist`);
  const update = db.updateTable('jobs').where('id', '=', id);
  if (job.status === 'queued') {
    const error = { kind: 'cancelled', message: 'cancelled before it ran', hint: null };
    await update
      .set({
        status: 'cancelled',
        cancel_requested: 1,
        error: JSON.stringify(error),
        ended_at: at.getTime(),
      })
      .execute();
    return { ended: true };
  }
  if (job.status === 'running') await update.set({ cancel_requested: 1 }).execute();
  return { ended: false };
}

function selectMatching(db: Database, filter: JobFilter) {
  const { id, instanceId, kind, exceptKinds, statuses, createdFrom, createdTo } = filter;
  let query = db.selectFrom('jobs').where('project_id', '=', filter.projectId);
  if (id !== undefined) query = query.where('id', '=', id);
  if (instanceId !== undefined) query = query.where('instance_id', '=', instanceId);
  if (kind !== undefined) query = query.where('kind', '=', kind);
  if (exceptKinds !== undefined) query = query.where('kind', 'not in', [...exceptKinds]);
  if (statuses !== undefined) query = query.where('status', 'in', [...statuses]);
  if (createdFrom) query = query.where('created_at', '>=', createdFrom.getTime());
  if (createdTo) query = query.where('created_at', '<=', createdTo.getTime());
  return query;
}

function updateLeased(db: Database, { jobId, owner, fence }: Lease) {
  return db
    .updateTable('jobs')
    .where('id', '=', jobId)
    .where('lease_owner', '=', owner)
    .where('fence', '=', fence)
    .where('status', '=', 'running');
}

function staleLease({ jobId, fence }: Lease): CairnError {
  return new CairnError('conflict', `lease ${fence} of job ${jobId} is no longer held`);
}
