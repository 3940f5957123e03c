/** How a server writes its transaction ids. */
export type GtidDialect = 'mariadb' | 'mysql';
