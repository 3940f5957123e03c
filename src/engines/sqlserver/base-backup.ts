// Backups of a whole server and of chosen databases. Each database is backed up by the server as of
// a moment of its own; what proves that a log continues it lies in its record, the positions of the
// backup only tell which log may.
import type { BackupContents } from '../../model/backup-contents.ts';
import { contentsLimits } from '../../model/backup-contents.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type {
  BaseBackupOptions,
  BaseBackupResult,
  EngineNotes,
  LogicalBackupOptions,
} from '../engine.ts';
import type { DatabaseScene } from './backup-database.ts';
import { backUpDatabase } from './backup-database.ts';
import { BackupProgress } from './backup-progress.ts';
import { labelMax } from './backup-rules.ts';
import { removeLeftovers } from './backup-set.ts';
import { databasesFolder, lastPath } from './backup-store.ts';
import type { ServerSurvey } from './backup-survey.ts';
import { refuseSystemDatabases, surveyChosen, surveyServer } from './backup-survey.ts';
import { databaseFolder } from './database-folder.ts';
import type { Ground } from './ground.ts';
import { serverVersionOf } from './plan-edition.ts';
import { readDatabases } from './server-databases.ts';
import { readServerInfo, systemIdentifierOf } from './server-info.ts';
import { openSession } from './session.ts';
import type { StoredDatabase, StoredNotes } from './stored-notes.ts';
import { toNotes } from './stored-notes.ts';

/**
 * Every database of users that is online. @throws engine-unreachable, engine-refused, conflict,
 * invalid, storage-full, storage-unavailable, what the sink throws
 */
export async function takeBaseBackup(
  connection: Connection,
  options: BaseBackupOptions,
  ground: Ground,
): Promise<BaseBackupResult> {
  const survey = await surveyServer(connection, options);
  const result = await backUp(survey, { connection, ...options }, ground);
  return { ...result, contents: toContents(survey) };
}

/**
 * The chosen databases. Their full backups are copies for the server, which change nothing for the
 * differential backups of the whole. @throws invalid (database-unknown), and as `takeBaseBackup`
 */
export async function takeLogicalBackup(
  connection: Connection,
  options: LogicalBackupOptions,
  ground: Ground,
): Promise<BaseBackupResult> {
  const survey = await surveyChosen(connection, options);
  return await backUp(survey, { connection, ...options, previous: null, label: 'cairn' }, ground);
}

/** @throws invalid when one of them is the server's own; engine-unreachable, engine-refused */
export async function findMissingDatabases(
  connection: Connection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  refuseSystemDatabases(names);
  await using session = await openSession(connection, { signal });
  const found = new Set((await readDatabases(session, signal)).map(({ name }) => name));
  return names.filter((name) => !found.has(name));
}

type BackupRun = BaseBackupOptions & { readonly connection: Connection };

async function backUp(
  survey: ServerSurvey,
  run: BackupRun,
  ground: Ground,
): Promise<BaseBackupResult> {
  const { connection, signal, sink } = run;
  const scene = await setScene(survey, run, ground);
  await removeLeftovers(scene);
  sink.directory({ path: databasesFolder, mode: 0o700 });
  const databases: StoredDatabase[] = [];
  const findings: string[] = [...survey.findings];
  for (const order of survey.orders) {
    const done = await backUpDatabase(order, scene);
    databases.push(done.stored);
    findings.push(...done.findings);
  }
  for (const finding of findings) run.log.warn({ finding }, 'found while backing up');
  await using session = await openSession(connection, { signal });
  const after = await readServerInfo(session, signal);
  const { server, skipped } = survey;
  const { majorVersion, edition, engineEdition, platform, collation, offsetMinutes } = server;
  const notes: StoredNotes = {
    format: 1,
    server: { majorVersion, edition, engineEdition, platform, collation, offsetMinutes },
    ...{ databases, skipped, findings },
  };
  return {
    serverVersion: serverVersionOf(server.version, server),
    systemIdentifier: systemIdentifierOf(server),
    startPosition: positionAt(server.moment),
    stopPosition: positionAt(after.moment),
    lastLogFile: lastPath(databases.flatMap(pathsOf)),
    notes: { ...toNotes(notes), ...describeTaking(notes, run) },
  };
}

/** What people are shown: how it was taken, and what they should know. */
function describeTaking(
  { databases, skipped, findings }: StoredNotes,
  { previous }: Pick<BackupRun, 'previous'>,
): EngineNotes {
  const changed = databases.filter(({ differential }) => differential !== null);
  const kept = changed.flatMap(({ full }) => full.paths);
  const sizes = kept.map((path) => previous?.findFile(path)?.sizeBytes ?? 0);
  return {
    source: changed.length > 0 ? 'differential' : 'full',
    sourceReasons: [...skipped.map(({ name, why }) => `${name} is left out: ${why}`), ...findings],
    keptBytes: sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0),
  };
}

async function setScene(
  { server, orders }: ServerSurvey,
  run: BackupRun,
  ground: Ground,
): Promise<DatabaseScene> {
  const { connection, sink, previous, signal, log, onProgress } = run;
  const sizes = orders.map(({ database }) => database.sizeBytes);
  return {
    ...{ connection, server, sink, previous, signal, log },
    ...{ clock: ground.clock, random: ground.random },
    exchange: await ground.openExchange(connection),
    prefix: `cairn-base-${databaseFolder(systemIdentifierOf(server))}-`,
    label: run.label.slice(0, labelMax).toWellFormed(),
    asked: run.kind ?? 'full',
    progress: new BackupProgress(sizes, onProgress),
  };
}

const positionAt = (moment: string): LogPosition => ({
  ...{ engine: 'sqlserver', moment, offsetBytes: 0 },
});

function pathsOf({ full, differential }: StoredDatabase): readonly string[] {
  return [...full.paths, ...(differential?.paths ?? [])];
}

/** Names only: to look into each database, the login would need a user in it. */
function toContents({ orders }: ServerSurvey): BackupContents {
  const databases = orders.slice(0, contentsLimits.databasesMax);
  return {
    isComplete: false,
    databases: databases.map(({ database }) => ({ name: database.name, tables: [] })),
  };
}
