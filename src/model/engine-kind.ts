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
