// Databases in availability groups (SQL Server documentation, "Configure backup on secondary
// replicas", "sys.fn_hadr_backup_is_preferred_replica"). Each replica is an instance of its own
// and keeps a history of its own: what another one has backed up is not seen from here, only, by
// the positions of the log, that something is missing.
import type { SqlSession } from './session.ts';
import { preferredReplicaStatement, replicasStatement } from './tsql-inspect.ts';

export type ReplicaRole = 'none' | 'primary' | 'secondary';

export type Replica = {
  readonly database: string;
  readonly group: string;
  readonly role: 'primary' | 'secondary';
  readonly isSuspended: boolean;
};

/**
 * Whether the group wants this database backed up on this replica; also true outside of groups.
 * @throws what the session throws
 */
export async function isPreferredHere(
  session: SqlSession,
  database: string,
  signal: AbortSignal,
): Promise<boolean> {
  const [row] = await session.run(preferredReplicaStatement(database), { signal });
  return Number(row?.['is_preferred']) === 1;
}

/** Of this server; needs VIEW SERVER STATE. @throws what the session throws */
export async function readReplicas(
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly Replica[]> {
  const rows = await session.run(replicasStatement(), { signal });
  return rows.map((row) => ({
    database: String(row['database_name']),
    group: String(row['group_name']),
    role: row['is_primary_replica'] === true ? 'primary' : 'secondary',
    isSuspended: row['is_suspended'] === true,
  }));
}

/** Of one database; null: nobody could tell. */
export function findReplicaRole(
  database: { readonly name: string; readonly isInGroup: boolean },
  replicas: readonly Replica[] | null,
): ReplicaRole | null {
  if (!database.isInGroup) return 'none';
  return replicas?.find((one) => one.database === database.name)?.role ?? null;
}

export type ReplicaPlan = {
  readonly kind: 'full' | 'differential';
  readonly isCopyOnly: boolean;
  /** Where it is not what was asked for; null: it is. */
  readonly note: string | null;
};

/**
 * What a replica can take in place of what was asked for: a secondary takes full backups that are
 * copies, and no differential ones. Backups of the log are the same everywhere.
 */
export function planOnReplica(
  asked: 'full' | 'differential',
  role: ReplicaRole | null,
): ReplicaPlan {
  if (role !== 'secondary') return { kind: asked, isCopyOnly: false, note: null };
  const note =
    asked === 'full'
      ? 'taken on a secondary replica, as a copy: no differential backup can follow it'
      : 'taken in full, as a copy: a secondary replica takes no differential backups';
  return { kind: 'full', isCopyOnly: true, note };
}
