import type { ListedDatabase, ListedTable } from '../../model/backup-contents.ts';
import type { PastContents } from '../../operations/contents/list-past-contents.ts';
import type { PastTablesWire } from '../schema/past-contents.ts';

type InstanceWire = PastTablesWire['instances'][number];

export function presentPastDatabases({ instanceId, name, databases }: PastContents) {
  return {
    ...{ id: instanceId, name, total_tables: countTables(databases) },
    databases: databases.map((database) => ({
      ...{ name: database.name, total_tables: database.tables.length },
    })),
  };
}

export function presentPastTables({ instanceId, name, databases }: PastContents): InstanceWire {
  return {
    ...{ id: instanceId, name, total_tables: countTables(databases) },
    databases: databases.map(({ name, tables }) => {
      const total_tables = tables.length;
      const hasSchemas = tables.some(({ schema }) => schema !== '');
      return hasSchemas
        ? { name, total_tables, schemas: groupTables(tables) }
        : { name, total_tables, tables: namesOf(tables) };
    }),
  };
}

function groupTables(tables: readonly ListedTable[]) {
  return [...Map.groupBy(tables, ({ schema }) => schema)].map(([name, of]) => ({
    ...{ name, total_tables: of.length, tables: namesOf(of) },
  }));
}

function namesOf(tables: readonly ListedTable[]): { name: string }[] {
  return tables.map(({ name }) => ({ name }));
}

function countTables(databases: readonly ListedDatabase[]): number {
  return databases.reduce((total, { tables }) => total + tables.length, 0);
}
