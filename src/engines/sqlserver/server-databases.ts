// The databases of a server, and which of them a backup holds.
import { CairnError } from '../../model/errors.ts';
import { findLsn } from './lsn.ts';
import type { DatabaseTraits, RecoveryModel } from './server-traits.ts';
import type { SqlRow, SqlSession } from './session.ts';
import { databasesStatement } from './tsql-inspect.ts';

export type FoundDatabase = Omit<DatabaseTraits, 'replicaRole'> & {
  /** Of an availability group. */
  readonly isInGroup: boolean;
  readonly isSnapshot: boolean;
  readonly isInStandby: boolean;
  readonly isSingleUser: boolean;
  readonly compatibilityLevel: number;
  /** Where the next backup of its log begins; null: none can be taken, or nobody may know. */
  readonly nextLogLsn: bigint | null;
  /** Null: the login may not know. */
  readonly familyId: string | null;
  /** Null: the login may not see the files. */
  readonly sizeBytes: number | null;
};

/** All that the login may see but tempdb. @throws what the session throws */
export async function readDatabases(
  session: SqlSession,
  signal: AbortSignal,
): Promise<readonly FoundDatabase[]> {
  return (await session.run(databasesStatement(), { signal })).map(toDatabase);
}

function toDatabase(row: SqlRow): FoundDatabase {
  const recoveryModel = String(row['recovery_model_desc']);
  return {
    name: String(row['name']),
    state: String(row['state_desc']),
    recoveryModel: toRecoveryModel(recoveryModel),
    hasLogChain: row['has_recovery_status'] === 1 ? row['last_log_backup_lsn'] !== null : null,
    nextLogLsn: findLsn(String(row['last_log_backup_lsn'])),
    isEncrypted: row['is_encrypted'] === true,
    isInGroup: row['replica_id'] !== null,
    isSnapshot: row['is_snapshot'] === 1,
    isInStandby: row['is_in_standby'] === true,
    isSingleUser: row['user_access_desc'] === 'SINGLE_USER',
    compatibilityLevel: Number(row['compatibility_level']),
    familyId: typeof row['family_guid'] === 'string' ? row['family_guid'].toLowerCase() : null,
    sizeBytes: typeof row['size_bytes'] === 'string' ? Number(row['size_bytes']) : null,
  };
}

function toRecoveryModel(text: string): RecoveryModel {
  if (text === 'SIMPLE' || text === 'FULL' || text === 'BULK_LOGGED') return text;
  throw new CairnError('engine-refused', `the server says recovery_model_desc = ${text}`);
}

const systemDatabases = ['master', 'tempdb', 'model', 'msdb'];

export function isSystemDatabase(name: string): boolean {
  return systemDatabases.includes(name.toLowerCase());
}

/** Why nobody can back it up; null: nothing is in the way. */
export function whyNotBackedUp(database: FoundDatabase): string | null {
  const { state, isSnapshot, isInStandby } = database;
  if (isSnapshot) return 'it is a snapshot of another database';
  // Its state is ONLINE: it can be read between two restores.
  if (isInStandby) return 'it is in standby';
  return state === 'ONLINE' ? null : `it is ${state}`;
}
