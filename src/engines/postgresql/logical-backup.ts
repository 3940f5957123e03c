// A logical backup: pg_dump of each database, and pg_dumpall of what belongs to the whole server.
//
// The dumps are not compressed, and each table's data begin a file of their own, so that the data
// of a table that has not changed lie at the same place as in the backup before: they are stored
// once, whatever happens to other tables. The repository compresses what is new.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import { countDumped } from '../dump-progress.ts';
import type { BaseBackupResult } from '../engine.ts';
import type { LogicalBackupOptions } from '../logical.ts';
import { withQueries } from './connection.ts';
import type { DumpedData } from './logical-archive.ts';
import { DumpReader } from './logical-archive.ts';
import { databaseArgument, runClient } from './logical-client.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import {
  contentsPath,
  escapeName,
  formatContents,
  globalsFolder,
  logicalKind,
} from './logical-contents.ts';
import { PieceWriter } from './logical-pieces.ts';
import type { FoundDatabase, ServerSurvey } from './logical-survey.ts';
import { readPosition, surveyServer } from './logical-survey.ts';
import type { ClientTools } from './logical-tools.ts';
import { findClientTools } from './logical-tools.ts';

export type LogicalParts = { readonly clock: Clock; readonly binDirs: readonly string[] };

/** A table that somebody holds locked for longer ends the backup. */
const lockWaitMs = 10 * 60_000;

/** @throws invalid (database-unknown), engine-unreachable, engine-refused, what the sink throws */
export async function takeLogicalBackup(
  connection: Connection,
  options: LogicalBackupOptions,
  { clock, binDirs }: LogicalParts,
): Promise<BaseBackupResult> {
  const { databases: names, signal, sink } = options;
  const survey = await surveyServer(connection, names, signal);
  const tools = await findClientTools(survey.major, binDirs);
  const pieces = new PieceWriter(sink, clock.now());
  const progress = countDumped(options, survey.databases);
  const run = { connection, tools, survey, pieces, progress, signal };
  const databases: DumpedDatabase[] = [];
  for (const database of survey.databases) databases.push(await dumpDatabase(database, run));
  await dumpGlobals(run);
  const contents = {
    format: 1 as const,
    tool_version: tools.version,
    role_passwords: survey.mayReadPasswords,
    databases,
  };
  await pieces.writeFile(contentsPath, formatContents(contents));
  const stopPosition = await withQueries(connection, { signal }, readPosition);
  const { serverVersion, systemIdentifier, position: startPosition } = survey;
  return {
    ...{ serverVersion, systemIdentifier, startPosition, stopPosition },
    lastLogFile: contentsPath,
    notes: { kind: logicalKind, version: 1, toolVersion: tools.version },
  };
}

type Run = {
  readonly connection: Connection;
  readonly tools: ClientTools;
  readonly survey: ServerSurvey;
  readonly pieces: PieceWriter;
  readonly progress: (bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
};

async function dumpDatabase(found: FoundDatabase, run: Run): Promise<DumpedDatabase> {
  const { connection, tools, survey, pieces, progress, signal } = run;
  const { sizeBytes: _, ...database } = found;
  const reader = new DumpReader();
  const digest = createHash('sha256');
  let dumpBytes = 0;
  let largeObjects = 0;
  await pieces.begin(`${database.folder}/head`);
  await runClient(connection, {
    program: join(tools.binDir, 'pg_dump'),
    args: [
      ...['--format=custom', '--compress=0', '--no-password'],
      `--lock-wait-timeout=${lockWaitMs}`,
      // A standby cannot read them: they are empty there.
      ...(survey.isInRecovery ? ['--no-unlogged-table-data'] : []),
      `--dbname=${databaseArgument(database.name)}`,
    ],
    signal,
    take: async (bytes) => {
      digest.update(bytes);
      dumpBytes += bytes.byteLength;
      progress(bytes);
      for (const segment of reader.push(bytes)) {
        if (segment.begins?.kind === 'large-objects') largeObjects++;
        if (segment.begins) await pieces.begin(folderOf(database, segment.begins, largeObjects));
        await pieces.write(segment.bytes);
      }
    },
  });
  await pieces.end();
  const data = reader.end();
  return {
    ...database,
    dump_bytes: dumpBytes,
    dump_sha256: digest.digest('hex'),
    owners: [...reader.owners],
    large_objects: data.reduce((sum, one) => sum + (one.kind === 'table' ? 0 : one.objects), 0),
    tables: data.flatMap((one) =>
      one.kind === 'table' ? [{ schema: one.schema, name: one.name, rows: one.rows }] : [],
    ),
  };
}

function folderOf(
  { folder }: Pick<FoundDatabase, 'folder'>,
  data: DumpedData,
  index: number,
): string {
  if (data.kind === 'large-objects') return `${folder}/large-objects/${index}`;
  return `${folder}/tables/${escapeName(data.schema)}/${escapeName(data.name)}`;
}

/** Roles, with their passwords where we may read them, and tablespaces. */
async function dumpGlobals(run: Run): Promise<void> {
  const { connection, tools, survey, pieces, progress, signal } = run;
  await pieces.begin(globalsFolder);
  await runClient(connection, {
    program: join(tools.binDir, 'pg_dumpall'),
    args: [
      ...['--globals-only', '--no-password', `--database=${databaseArgument(connection.database)}`],
      ...(survey.mayReadPasswords ? [] : ['--no-role-passwords']),
    ],
    signal,
    take: async (bytes) => {
      progress(bytes);
      await pieces.write(bytes);
    },
  });
  await pieces.end();
}
