// Who may run next. A queued job is claimable when its pool is asked for, its time has come, and
// nothing open on its instance stands in the way: no running job that conflicts with it, and no
// older queued one (a later job never overtakes). A running job counts until somebody ends it, also
// when its lease has run out.
//
// Two workers must never claim two conflicting jobs of one instance at the same moment. SQLite
// claims in an immediate transaction, one at a time. In PostgreSQL the candidate's row is locked
// (`skip locked`: others look further), then the instance; under that lock the question is asked
// again in a new statement, which sees what the previous holder of the lock has committed.
import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import type { Job } from '../model/job.ts';
import type { ClaimRequest } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { toJob } from './job-rows.ts';
import type { CatalogSchema } from './schema.ts';

type Candidate = { readonly id: string; readonly instance_id: string | null };
type JobTables = CatalogSchema & { job: CatalogSchema['jobs']; other: CatalogSchema['jobs'] };

/** Busy instances that one claim passes over; with more of them the next poll looks again. */
const roundsMax = 20;

export async function claimJob(
  database: CatalogDatabase,
  request: ClaimRequest,
): Promise<Job | null> {
  if (request.pools.length === 0) return null;
  return await inTransaction(database, async (tx) => {
    const busyInstances: string[] = [];
    for (let round = 0; round < roundsMax; round++) {
      const candidate = await findOldest(tx, request, busyInstances);
      if (!candidate) return null;
      if (await isReserved(tx, request, candidate)) return await begin(tx, request, candidate);
      if (candidate.instance_id !== null) busyInstances.push(candidate.instance_id);
    }
    return null;
  });
}

async function findOldest(
  tx: CatalogDatabase,
  request: ClaimRequest,
  busyInstances: readonly string[],
): Promise<Candidate | undefined> {
  return await selectClaimable(tx, request)
    .where((eb) =>
      busyInstances.length === 0
        ? eb.lit(true)
        : eb.or([
            eb('job.instance_id', 'is', null),
            eb('job.instance_id', 'not in', [...busyInstances]),
          ]),
    )
    .orderBy('job.created_at')
    .orderBy('job.id')
    .limit(1)
    .$if(tx.traits.hasRowLocks, (query) => query.forUpdate().skipLocked())
    .executeTakeFirst();
}

/** True when nobody else can claim on the candidate's instance before this transaction ends. */
async function isReserved(
  tx: CatalogDatabase,
  request: ClaimRequest,
  { id, instance_id }: Candidate,
): Promise<boolean> {
  if (instance_id === null) return true;
  if (!(await tx.traits.tryLock(tx.db, `claim ${instance_id}`))) return false;
  const still = await selectClaimable(tx, request).where('job.id', '=', id).executeTakeFirst();
  return still !== undefined;
}

async function begin(
  { db }: CatalogDatabase,
  request: ClaimRequest,
  { id }: Candidate,
): Promise<Job> {
  const row = await db
    .updateTable('jobs')
    .set((eb) => ({
      status: 'running',
      attempt: eb('attempt', '+', 1),
      fence: eb('fence', '+', 1),
      lease_owner: request.owner,
      lease_expires_at: request.leaseExpiresAt.getTime(),
      progress: null,
      error: null,
      started_at: eb.fn.coalesce('started_at', eb.val(request.now.getTime())),
    }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return toJob(row);
}

function selectClaimable({ db }: CatalogDatabase, request: ClaimRequest) {
  const { exceptKinds = [] } = request;
  return db
    .selectFrom('jobs as job')
    .select(['job.id', 'job.instance_id'])
    .where('job.status', '=', 'queued')
    .where('job.pool', 'in', [...request.pools])
    .where('job.not_before', '<=', request.now.getTime())
    .$if(exceptKinds.length > 0, (query) => query.where('job.kind', 'not in', [...exceptKinds]))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('jobs as other')
            .select('other.id')
            .whereRef('other.instance_id', '=', 'job.instance_id')
            .whereRef('other.id', '<>', 'job.id')
            .where(isAhead)
            .where((inner) => isConflicting(inner, request.conflicts)),
        ),
      ),
    );
}

/** Running, or waiting for longer. Ids break the tie of two jobs of one millisecond. */
function isAhead(eb: ExpressionBuilder<JobTables, 'job' | 'other'>): Expression<SqlBool> {
  return eb.or([
    eb('other.status', '=', 'running'),
    eb.and([
      eb('other.status', '=', 'queued'),
      eb.or([
        eb('other.created_at', '<', eb.ref('job.created_at')),
        eb.and([
          eb('other.created_at', '=', eb.ref('job.created_at')),
          eb('other.id', '<', eb.ref('job.id')),
        ]),
      ]),
    ]),
  ]);
}

function isConflicting(
  eb: ExpressionBuilder<JobTables, 'job' | 'other'>,
  conflicts: ClaimRequest['conflicts'],
): Expression<SqlBool> {
  const pairs = [...bothWays(conflicts)].map(([kind, others]) =>
    eb.and([eb('job.kind', '=', kind), eb('other.kind', 'in', [...others])]),
  );
  return pairs.length === 0 ? eb.lit(false) : eb.or(pairs);
}

/** "Must not run together" holds in both directions, whichever of the two kinds says it. */
function bothWays(conflicts: ClaimRequest['conflicts']): Map<string, Set<string>> {
  const pairs = new Map<string, Set<string>>();
  const add = (kind: string, other: string): void => {
    pairs.set(kind, (pairs.get(kind) ?? new Set()).add(other));
  };
  for (const [kind, others] of Object.entries(conflicts)) {
    for (const other of others) {
      add(kind, other);
      add(other, kind);
    }
  }
  return pairs;
}
