// MariaDB and MySQL are one engine with two flavors. Where they differ, they differ by this table
// and by what is typed by `Flavor`, never by copies of a file.
import type { GtidDialect } from '../../model/gtid-set.ts';

export type Flavor = 'mariadb' | 'mysql';

export type FlavorFacts = {
  /** As people write it. */
  readonly title: string;
  readonly gtidDialect: GtidDialect;
  /** Names of the programs, in the order in which they are looked for. */
  readonly programs: {
    readonly server: readonly string[];
    readonly client: readonly string[];
    readonly dump: readonly string[];
    readonly binlog: readonly string[];
    readonly backup: readonly string[];
    readonly initialise: readonly string[];
  };
  /** `binlog file, position` now; tried in order, since newer servers renamed the statement. */
  readonly positionStatements: readonly string[];
};

export const flavors: Readonly<Record<Flavor, FlavorFacts>> = {
  mariadb: {
    title: 'MariaDB',
    gtidDialect: 'mariadb',
    programs: {
      server: ['mariadbd', 'mysqld'],
      client: ['mariadb', 'mysql'],
      dump: ['mariadb-dump', 'mysqldump'],
      binlog: ['mariadb-binlog', 'mysqlbinlog'],
      backup: ['mariadb-backup', 'mariabackup'],
      initialise: ['mariadb-install-db', 'mysql_install_db'],
    },
    positionStatements: ['SHOW MASTER STATUS'],
  },
  mysql: {
    title: 'MySQL',
    gtidDialect: 'mysql',
    programs: {
      server: ['mysqld'],
      client: ['mysql'],
      dump: ['mysqldump'],
      binlog: ['mysqlbinlog'],
      backup: ['xtrabackup'],
      initialise: ['mysqld'],
    },
    positionStatements: ['SHOW BINARY LOG STATUS', 'SHOW MASTER STATUS'],
  },
};

export type FlavoredVersion = {
  readonly flavor: Flavor;
  /** `10.11.19-MariaDB`, `8.0.36`. */
  readonly serverVersion: string;
};

/** What `SELECT VERSION()` says, without the additions of distributions; null: none we know. */
export function parseServerVersion(text: string): FlavoredVersion | null {
  // Replicas of old were told `5.5.5-10.11.19-MariaDB`.
  const match = /^(?:5\.5\.5-)?(\d+\.\d+\.\d+)(.*)$/.exec(text.trim());
  if (!match) return null;
  const [, numbers = '', rest = ''] = match;
  return /mariadb/i.test(rest)
    ? { flavor: 'mariadb', serverVersion: `${numbers}-MariaDB` }
    : { flavor: 'mysql', serverVersion: numbers };
}

/** Of a version as `parseServerVersion` normalises it. */
export function flavorOf(serverVersion: string): Flavor {
  return serverVersion.endsWith('-MariaDB') ? 'mariadb' : 'mysql';
}
