// Whether a server follows another one (MariaDB documentation, "SHOW REPLICA STATUS"; MySQL manual,
// "SHOW REPLICA STATUS Statement"). Statement and columns have old and new names.
import type { Query } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor } from './flavor.ts';

export type ReplicaStatus =
  | { readonly kind: 'primary' }
  | { readonly kind: 'replica'; readonly isReceiving: boolean; readonly lagMs: number | null }
  /** The account may not look. */
  | { readonly kind: 'unknown' };

const statements: Readonly<Record<Flavor, readonly string[]>> = {
  mariadb: ['show all slaves status'],
  mysql: ['show replica status', 'show slave status'],
};
const missingRights = [1044, 1142, 1227];
const unknownStatement = 1064;

export async function readReplicaStatus(query: Query, flavor: Flavor): Promise<ReplicaStatus> {
  for (const statement of statements[flavor]) {
    try {
      return planStatus(await query(statement));
    } catch (error) {
      const number = errorNumber(error) ?? 0;
      if (missingRights.includes(number)) return { kind: 'unknown' };
      if (number !== unknownStatement) throw error;
    }
  }
  return { kind: 'unknown' };
}

/** One row for each server that is followed: as far behind as the last of them. Pure. */
export function planStatus(rows: readonly Readonly<Record<string, unknown>>[]): ReplicaStatus {
  if (rows.length === 0) return { kind: 'primary' };
  const receiving = rows.map((row) => row['Replica_IO_Running'] ?? row['Slave_IO_Running']);
  const lags = rows.map((row) => row['Seconds_Behind_Source'] ?? row['Seconds_Behind_Master']);
  return {
    kind: 'replica',
    isReceiving: receiving.every((value) => value === 'Yes'),
    lagMs: lags.some((value) => value === null || value === undefined)
      ? null
      : Math.max(...lags.map(Number)) * 1000,
  };
}
