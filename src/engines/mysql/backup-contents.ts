// Which databases and tables a server has, looked at while it is backed up: names of files are
// encoded, so those that people know come from the server. A list for people: it never fails the
// backup.
import type { BackupContents, ListedTable } from '../../model/backup-contents.ts';
import { contentsLimits } from '../../model/backup-contents.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { throwIfAborted } from '../guard.ts';
import { withQueries } from './connection.ts';

type Options = { readonly signal: AbortSignal; readonly log: Logger };

const timeoutMs = 30_000;
const systemDatabases = "'mysql', 'sys', 'information_schema', 'performance_schema'";

/**
 * Databases without a table too; what the account may not see is not there. Null when it cannot be
 * asked. @throws the signal's reason
 */
export async function listContents(
  connection: Connection,
  { signal, log }: Options,
): Promise<BackupContents | null> {
  const { databasesMax, tablesMax } = contentsLimits;
  const within = deadlineSignal(timeoutMs, signal);
  try {
    return await withQueries(connection, { signal: within }, async (query) => {
      const names = await query(
        `select schema_name as name from information_schema.schemata
         where schema_name not in (${systemDatabases}) order by 1 limit ${databasesMax + 1}`,
      );
      const tables = await query(
        `select table_schema as place, table_name as name from information_schema.tables
         where table_schema not in (${systemDatabases})
           and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')
         order by 1, 2 limit ${tablesMax + 1}`,
      );
      const byDatabase = Map.groupBy(tables.slice(0, tablesMax), ({ place }) => String(place));
      const listed = (name: string): ListedTable[] =>
        (byDatabase.get(name) ?? []).map((table) => ({ schema: '', name: String(table['name']) }));
      return {
        isComplete: names.length <= databasesMax && tables.length <= tablesMax,
        databases: names.slice(0, databasesMax).map((row) => {
          const name = String(row['name']);
          return { name, tables: listed(name) };
        }),
      };
    });
  } catch (err) {
    throwIfAborted(signal);
    log.info({ err }, 'the databases of the server cannot be listed');
    return null;
  }
}
