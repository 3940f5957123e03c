/** The database engines that a model value can name; a driver exists for those in `compose.ts`. */
export const engines = ['postgresql', 'mysql', 'sqlserver'] as const;
export type Engine = (typeof engines)[number];

/** The two digits that end an id (`…in03`). */
export const engineDigits = {
  mysql: '01',
  postgresql: '03',
  sqlserver: '04',
} as const satisfies Record<Engine, string>;

/** The engine's name as a reader knows it; also the word on the wire. */
export const engineTitles = {
  mysql: 'MySQL',
  postgresql: 'PostgreSQL',
  sqlserver: 'SQLServer',
} as const satisfies Record<Engine, string>;

export const defaultPorts = {
  mysql: 3306,
  postgresql: 5432,
  sqlserver: 1433,
} as const satisfies Record<Engine, number>;

/** What a connection goes to that names no database; empty where it needs none. */
export const defaultDatabases = {
  mysql: '',
  postgresql: 'postgres',
  sqlserver: 'master',
} as const satisfies Record<Engine, string>;

/** Of a connection that does not say. Clients of SQL Server verify unless they are told not to. */
export const defaultTlsModes = {
  mysql: 'prefer',
  postgresql: 'prefer',
  sqlserver: 'verify-full',
} as const satisfies Record<Engine, string>;

const engineNames: Readonly<Record<string, Engine>> = {
  mysql: 'mysql',
  mariadb: 'mysql',
  postgresql: 'postgresql',
  sqlserver: 'sqlserver',
};

/** By its name in any case of letters; null when it is none. MariaDB is a flavor of MySQL. */
export function findEngine(name: string): Engine | null {
  const folded = name.toLowerCase();
  return Object.hasOwn(engineNames, folded) ? (engineNames[folded] ?? null) : null;
}
