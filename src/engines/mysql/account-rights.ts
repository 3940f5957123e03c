// What an account may do on the whole server, as `SHOW GRANTS` lists it, roles that are switched on
// included (MariaDB documentation, "GRANT"; MySQL documentation, "Privileges Provided by MySQL").
// Names of rights differ by flavor and age; what is needed is said once for each use.
import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';
import type { Flavor } from './flavor.ts';

export type RightsUse = 'physical' | 'log' | 'logical';

/** Each need is met by any one of its names; the first is the one to grant. */
const needs: Readonly<Record<Flavor, Readonly<Record<RightsUse, readonly string[][]>>>> = {
  mariadb: {
    // The last is missed only at the end of a backup, by the program itself.
    physical: [['RELOAD'], ['PROCESS'], ['BINLOG MONITOR', 'REPLICATION CLIENT', 'SUPER']],
    log: [
      ['REPLICATION SLAVE', 'REPLICATION REPLICA'],
      ['BINLOG MONITOR', 'REPLICATION CLIENT', 'SUPER'],
    ],
    logical: [['SELECT'], ['SHOW VIEW'], ['TRIGGER'], ['EVENT']],
  },
  mysql: {
    physical: [
      ['BACKUP_ADMIN', 'SUPER'],
      ['PROCESS'],
      ['RELOAD'],
      ['LOCK TABLES'],
      ['REPLICATION CLIENT', 'SUPER'],
    ],
    log: [['REPLICATION SLAVE'], ['REPLICATION CLIENT', 'SUPER']],
    logical: [['SELECT'], ['SHOW VIEW'], ['TRIGGER'], ['EVENT'], ['PROCESS']],
  },
};

/** Names of rights on everything, in capitals; `ALL PRIVILEGES` stands for each. */
export async function readGlobalRights(query: Query): Promise<ReadonlySet<string>> {
  const rows = await query('show grants');
  const texts = rows.map((row) => String(Object.values(row)[0] ?? ''));
  if (texts.length > 0) return new Set(texts.flatMap(parseGrant));
  throw new CairnError('engine-refused', 'the server did not tell what the account may do');
}

/** Of one line of `SHOW GRANTS`; none where it is not of the whole server. */
export function parseGrant(text: string): readonly string[] {
  const match = /^GRANT (.+?) ON \*\.\* TO /i.exec(text);
  return (match?.[1] ?? '').split(/, ?/).flatMap((name) => {
    // `SELECT (a, b)` is of columns, and not of the whole server.
    const right = name.trim().toUpperCase();
    return right === '' || right.includes('(') ? [] : [right];
  });
}

/** What would have to be granted; empty when nothing is missing. Pure. */
export function planMissingRights(
  rights: ReadonlySet<string>,
  flavor: Flavor,
  use: RightsUse,
): readonly string[] {
  if (rights.has('ALL PRIVILEGES') || rights.has('ALL')) return [];
  return needs[flavor][use]
    .filter((names) => !names.some((name) => rights.has(name)))
    .map(([name = '']) => name);
}
