// Which databases and tables a server has, looked at while it is backed up. A list for people: what
// cannot be looked at is left out, and never fails the backup.
import type { BackupContents, ListedDatabase, ListedTable } from '../../model/backup-contents.ts';
import { contentsLimits } from '../../model/backup-contents.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { throwIfAborted } from '../guard.ts';
import { withQueries } from './connection.ts';

type Options = { readonly signal: AbortSignal; readonly log: Logger };

/** Each database costs a connection: of a server with more the others show no tables. */
const visitedMax = 200;
const timeoutMs = 30_000;

/** Null when the role may not ask. @throws the signal's reason */
export async function listContents(
  connection: Connection,
  { signal, log }: Options,
): Promise<BackupContents | null> {
  const within = deadlineSignal(timeoutMs, signal);
  try {
    return await visitDatabases(connection, within, log);
  } catch (err) {
    throwIfAborted(signal);
    log.info({ err }, 'the databases of the server cannot be listed');
    return null;
  }
}

async function visitDatabases(
  connection: Connection,
  signal: AbortSignal,
  log: Logger,
): Promise<BackupContents> {
  const { databasesMax, tablesMax } = contentsLimits;
  const names = await withQueries(connection, { signal }, async (query) => {
    const rows = await query(
      `select datname as name from pg_database where datallowconn and not datistemplate
       order by datname limit $1`,
      [databasesMax + 1],
    );
    return rows.map(({ name }) => String(name));
  });
  const databases: ListedDatabase[] = [];
  let isComplete = names.length <= databasesMax;
  let leftTables: number = tablesMax;
  for (const [index, name] of names.slice(0, databasesMax).entries()) {
    const isVisited = index < visitedMax && leftTables > 0;
    const tables = isVisited
      ? await listTables({ ...connection, database: name }, leftTables + 1, { signal, log })
      : null;
    if (!tables || tables.length > leftTables) isComplete = false;
    const listed = (tables ?? []).slice(0, leftTables);
    leftTables -= listed.length;
    databases.push({ name, tables: listed });
  }
  return { isComplete, databases };
}

/** Null for a database that does not let us in. */
async function listTables(
  connection: Connection,
  limit: number,
  { signal, log }: Options,
): Promise<readonly ListedTable[] | null> {
  try {
    return await withQueries(connection, { signal }, async (query) => {
      const rows = await query(
        `select n.nspname as schema, c.relname as name
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and c.relpersistence <> 't'
           and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
         order by 1, 2 limit $1`,
        [limit],
      );
      return rows.map(({ schema, name }) => ({ schema: String(schema), name: String(name) }));
    });
  } catch (err) {
    throwIfAborted(signal);
    log.info({ err, database: connection.database }, 'the tables of a database cannot be listed');
    return null;
  }
}
