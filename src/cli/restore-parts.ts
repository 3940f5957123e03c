// `cairn restore --into INSTANCE --time TIME --database OLD=NEW` or `--table …`: databases or
// tables as they were at a moment, into the server that they come from, beside what it has.
import { CairnError } from '../model/errors.ts';
import { databasesNote } from './facts-of-restore.ts';
import { findInstance } from './find-instance.ts';
import { followJob } from './follow-job.ts';
import { openService } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { DatabaseOptions } from './restore-databases.ts';
import { parseDatabase, restoreDatabasesInto } from './restore-databases.ts';
import { readTime } from './restore-target.ts';
import type { ServiceClient } from './service-client.ts';

export type PartsOptions = DatabaseOptions & { readonly table?: readonly string[] };

type Renamed = { readonly old_name: string; readonly new_name: string };
type Table = Renamed & { readonly database: string; readonly schema: string | null };
type Asked = { readonly restore_result: readonly { readonly job_id: string }[] };

/** @throws invalid, not-found, whatever the service refuses */
export async function restorePartsInto(
  options: PartsOptions,
  target: string,
  { program, output }: { readonly program: Program; readonly output: Output },
): Promise<void> {
  const { database = [], table = [], time = '' } = options;
  const needed = '--into with --time needs --database or --table, not both';
  if (database.length > 0 && table.length > 0) throw new CairnError('invalid', needed);
  if (options.withRoles) {
    throw new CairnError('invalid', '--with-roles goes with --backup: the server has its roles');
  }
  const restore_time = readTime(time).getTime();
  const databases = database.map(parseDatabase);
  const tables = table.map(parseTable);
  const service = await openService(options, program);
  const { id, name, engine } = await findInstance(service, target);
  // Its server restores databases to a moment by itself, and also those of another instance.
  if (engine === 'sqlserver' && table.length === 0) {
    return await restoreDatabasesInto(options, target, { program, output });
  }
  if (options.replace) throw new CairnError('invalid', '--replace is of SQL Server only');
  if (database.length === 0 && table.length === 0) throw new CairnError('invalid', needed);
  if (options.instance !== undefined) {
    const source = await findInstance(service, options.instance);
    if (source.id !== id) {
      throw new CairnError('invalid', 'a moment is restored into the instance it comes from', {
        hint: `leave --instance out, or say --into ${source.name}`,
      });
    }
  }
  const jobId =
    databases.length > 0
      ? await askBatch(service, 'databases', { instance_id: id, restore_time, databases })
      : await askTables(service, { id, engine, restore_time }, tables);
  const job = await followJob(service, jobId, { output, clock: program.clock });
  if (options.json) return output.json(job);
  const { result } = job;
  if (result?.kind === 'restored-tables') {
    output.print(`${result.tables} tables with ${result.rows} rows are in ${name}\n`);
  }
  if (result?.kind === 'restored-databases') output.print(databasesNote(result, name));
}

async function askBatch(service: ServiceClient, what: string, asked: object): Promise<string> {
  const path = `/instances/batch/restore/${what}`;
  const { restore_result } = await service.rds<Asked>('POST', path, { instances: [asked] });
  return restore_result[0]?.job_id ?? '';
}

/** Databases with schemas have a call of their own. */
async function askTables(
  service: ServiceClient,
  { id, engine, restore_time }: { id: string; engine: string; restore_time: number },
  tables: readonly Table[],
): Promise<string> {
  if (engine === 'postgresql') {
    const databases = groupTables(tables);
    return await askBatch(service, 'tables', { instance_id: id, restore_time, databases });
  }
  const path = `/instances/${id}/restore/tables`;
  const body = { restore_time, restore_tables: groupFlat(tables) };
  return (await service.rdsNewer<{ job_id: string }>('POST', path, body)).job_id;
}

/**
 * `DATABASE.SCHEMA.TABLE=NEW`, or `DATABASE.TABLE=NEW` where there are no schemas. A part that
 * holds a dot or an equals sign stands in double quotes. @throws invalid
 */
export function parseTable(text: string): Table {
  const part = '(?:"((?:[^"]|"")+)"|([^".=]+))';
  const match = new RegExp(`^${part}\\.${part}(?:\\.${part})?=(.+)$`).exec(text);
  if (!match) {
    throw new CairnError('invalid', `--table ${text} is not DATABASE.SCHEMA.TABLE=NEW`, {
      hint: 'DATABASE.TABLE=NEW for MySQL; a part that holds a dot in double quotes',
    });
  }
  const groups = match.slice(1, 7);
  const [database = '', second = '', third = ''] = [0, 2, 4].map(
    (at) => groups[at]?.replaceAll('""', '"') ?? groups[at + 1] ?? '',
  );
  const new_name = match[7] ?? '';
  return third === ''
    ? { database, schema: null, old_name: second, new_name }
    : { database, schema: second, old_name: third, new_name };
}

function groupTables(tables: readonly Table[]): object[] {
  return [...Map.groupBy(tables, ({ database }) => database)].map(([database, of]) => ({
    database,
    schemas: [...Map.groupBy(of, requireSchema)].map(([schema, own]) => ({
      schema,
      tables: own.map(renamed),
    })),
  }));
}

function groupFlat(tables: readonly Table[]): object[] {
  return [...Map.groupBy(tables, ({ database }) => database)].map(([database, of]) => {
    const named = of.find(({ schema }) => schema !== null);
    if (!named) return { database, tables: of.map(renamed) };
    throw new CairnError('invalid', `${database} has no schema ${named.schema}`, {
      hint: 'say DATABASE.TABLE=NEW',
    });
  });
}

function requireSchema({ database, schema, old_name }: Table): string {
  if (schema !== null) return schema;
  throw new CairnError('invalid', `--table ${database}.${old_name} names no schema`, {
    hint: 'say DATABASE.SCHEMA.TABLE=NEW',
  });
}

function renamed({ old_name, new_name }: Table): Renamed {
  return { old_name, new_name };
}
