import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { BackupListWire } from '../api/schema/backup.ts';
import { loadConfig } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes, formatDuration } from '../model/units.ts';
import { databasesNote, recoveryNote, restoreNote } from './facts-of-restore.ts';
import { findInstance } from './find-instance.ts';
import { findStoredInstance } from './find-stored-instance.ts';
import { followJob } from './follow-job.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import { restoreDatabasesInto } from './restore-databases.ts';
import { readFolderPoint } from './restore-folder-point.ts';
import type { PartsOptions } from './restore-parts.ts';
import { restorePartsInto } from './restore-parts.ts';
import { presentTarget, readRestoreTarget, readSkipped } from './restore-target.ts';
import type { ServiceClient } from './service-client.ts';

type RestoreOptions = PartsOptions & {
  readonly to?: string;
  readonly newInstance?: string;
  readonly port?: string;
  readonly over?: string;
  readonly into?: string;
  readonly tablespace?: readonly string[];
  readonly delta?: boolean;
};

export function addRestoreCommand(root: Command, program: Program, output: Output): void {
  const command = root
    .command('restore')
    .description(
      'restore a backup, or a moment of an instance, to a folder (--to), to a new running server ' +
        '(--new-instance) or over one that Cairn started (--over); or databases into one (--into)',
    );
  withCommon(command)
    .option('--backup <ID>', 'the backup; with --xid and --name: that replay begins with')
    .option('--instance <ID-OR-NAME>', 'whose past is restored; with --to its id')
    .option('--time <TIME>', 'up to a moment: 2026-01-05T03:30:00Z, with its zone, or epoch ms')
    .option('--lsn <LSN>', 'up to a position of its log')
    .option('--xid <ID>', 'up to a transaction')
    .option('--name <NAME>', 'up to a restore point')
    .option('--gtid <GTID>', 'up to a transaction of MySQL or MariaDB, by its global id')
    .option('--position <FILE:OFFSET>', 'up to a place in its binary log')
    .option('--latest', 'as far as its log is archived')
    .option('--exclusive', 'stop right before what is named, not right after it')
    .option('--skip-transaction <GTID...>', 'leave these transactions out of what is replayed')
    .option('--timeline <N>', 'the branch of the log (default: the newest that holds the target)')
    .option(
      '--to <DIR>',
      'a new or empty folder; needs the repository and the key, not the service',
    )
    .option(
      '--delta',
      'with --to: over the data folder of a stopped server, writing only what differs',
    )
    .option('--tablespace <OLD=NEW...>', 'where a tablespace goes (by its old path or its OID)')
    .option('--new-instance <NAME>', 'start a server on the data and register it under this name')
    .option('--port <PORT>', 'of the new server (default: any free one)')
    .option(
      '--over <ID-OR-NAME>',
      'replace the data of an instance that Cairn started, or the databases of SQL Server',
    )
    .option('--yes', 'needed for --over and --replace: the data that are there go')
    .option(
      '--into <ID-OR-NAME>',
      'restore databases or tables into an instance, beside what it has',
    )
    .option('--database <OLD=NEW...>', 'with --into: which (OLD alone keeps its name)')
    .option(
      '--table <DATABASE.SCHEMA.TABLE=NEW...>',
      'with --into and --time: tables as they were (DATABASE.TABLE=NEW for MySQL)',
    )
    .option('--with-roles', 'with --into: make the roles that it lacks')
    .option('--replace', 'with --into, of SQL Server: what has the names makes room')
    .action((options: RestoreOptions) => runRestore(options, program, output));
}

/** @throws invalid for options that do not go together */
async function runRestore(
  options: RestoreOptions,
  program: Program,
  output: Output,
): Promise<void> {
  const { to, newInstance, over, into, port } = options;
  if (port !== undefined && newInstance === undefined) {
    throw new CairnError('invalid', '--port goes with --new-instance only');
  }
  if ([to, newInstance, over, into].filter((target) => target !== undefined).length !== 1) {
    const text = 'say --to DIR, --new-instance NAME, --over INSTANCE or --into INSTANCE';
    throw new CairnError('invalid', text);
  }
  if (into !== undefined && options.skipTransaction !== undefined) {
    const text = '--skip-transaction goes with --to, --new-instance or --over';
    throw new CairnError('invalid', text);
  }
  if (into !== undefined) {
    const restoreInto = options.time === undefined ? restoreDatabasesInto : restorePartsInto;
    return await restoreInto(options, into, { program, output });
  }
  const { database, table, withRoles, replace } = options;
  if (database !== undefined || table !== undefined || withRoles || replace) {
    const text = '--database, --table, --with-roles and --replace go with --into only';
    throw new CairnError('invalid', text);
  }
  readRestoreTarget(options);
  readSkipped(options);
  if (options.delta && to === undefined) {
    throw new CairnError('invalid', '--delta goes with --to only');
  }
  if (to !== undefined) await restoreFolder(options, to, program, output);
  else if (over !== undefined) await restoreOver(options, over, program, output);
  else await restoreInstance(options, newInstance ?? '', program, output);
}

async function restoreFolder(
  options: RestoreOptions,
  targetDir: string,
  program: Program,
  output: Output,
): Promise<void> {
  const config = loadConfig({ dataDir: options.data }, program.environment);
  const local = await program.local();
  const beganMs = program.clock.monotonicMs();
  const progress = output.progress();
  let sizeBytes = 0;
  try {
    const result = await local.restoreToFolder(config, {
      point: readFolderPoint(options, config),
      targetDir: resolve(targetDir),
      write: options.delta ? 'differences' : 'new-files',
      tablespaceDirs: parseTablespaces(options.tablespace ?? []),
      onProgress: (doneBytes, totalBytes) => {
        // Log that is replayed afterwards counts from nought again.
        sizeBytes = Math.max(sizeBytes, totalBytes);
        const seconds = Math.max(0.001, (program.clock.monotonicMs() - beganMs) / 1000);
        progress.update('restoring', doneBytes, totalBytes, doneBytes / seconds);
      },
      signal: new AbortController().signal,
    });
    progress.stop();
    const { dataDir, tablespaceDirs, startCommands, supportDir, holds } = result;
    const { recovered, startNote } = result;
    if (options.json) {
      return output.json({ dataDir, tablespaceDirs, startCommands, sizeBytes, supportDir });
    }
    const span = formatDuration(program.clock.monotonicMs() - beganMs);
    output.print(`restored ${formatBytes(sizeBytes)} to ${dataDir} in ${span}\n`);
    const purpose = holds === 'server' ? 'start a server on it with' : 'import the databases with';
    output.print(`${purpose}:\n${startCommands.map((line) => `  ${line}\n`).join('')}`);
    if (recovered) output.print(recoveryNote(recovered, readSkipped(options)));
    output.print(startNote ?? '');
  } finally {
    progress.stop();
  }
}

async function restoreInstance(
  options: RestoreOptions,
  name: string,
  program: Program,
  output: Output,
): Promise<void> {
  const service = await openService(options, program);
  const body = {
    name,
    restore_point: await findPoint(service, options),
    ...(options.port === undefined ? {} : { port: options.port }),
  };
  const answer = await service.rds<{ instance: { id: string }; job_id: string }>(
    ...(['POST', '/instances', body] as const),
  );
  const job = await followJob(service, answer.job_id, { output, clock: program.clock });
  const instance = await findInstance(service, answer.instance.id);
  if (options.json) return output.json({ instance, job });
  output.print(`${instance.id}\n`);
  output.complain(
    `${instance.name} runs at ${instance.host}:${instance.port} (user ${instance.user})\n`,
  );
  output.complain(restoreNote(job));
}

async function restoreOver(
  options: RestoreOptions,
  target: string,
  program: Program,
  output: Output,
): Promise<void> {
  const service = await openService(options, program);
  const { id, name } = await findInstance(service, target);
  if (!options.yes) {
    throw new CairnError(
      'invalid',
      `the data of ${name} would be replaced by those of the backup`,
      {
        hint: 'say --yes to restore over it; --new-instance leaves it alone',
      },
    );
  }
  const source = await findPoint(service, options);
  const body = { source, target: { instance_id: id } };
  const path = '/instances/recovery';
  const answer = await service.rds<{ job_id: string }>('POST', path, body);
  const job = await followJob(service, answer.job_id, { output, clock: program.clock });
  const instance = await findInstance(service, id);
  if (options.json) return output.json({ instance, job });
  if (job.result?.kind === 'restored-databases') {
    return output.print(databasesNote(job.result, instance.name));
  }
  output.print(`${instance.id}\n`);
  output.complain(
    `${instance.name} runs on the data of the backup at ${instance.host}:${instance.port} ` +
      `(user ${instance.user})\n`,
  );
  output.complain(restoreNote(job));
}

/** What the API is asked for. */
async function findPoint(service: ServiceClient, options: RestoreOptions): Promise<object> {
  const target = readRestoreTarget(options);
  const instanceId =
    target.kind === 'end-of-backup'
      ? await instanceOf(service, target.backupId)
      : await findStoredInstance(service, options.instance ?? '');
  const skipped = readSkipped(options);
  return {
    ...{ instance_id: instanceId, ...presentTarget(target) },
    ...(skipped.length > 0 ? { skipped_transactions: skipped } : {}),
  };
}

async function instanceOf(service: ServiceClient, backupId: string): Promise<string> {
  const path = `/backups?backup_id=${encodeURIComponent(backupId)}`;
  const [backup] = (await service.rds<BackupListWire>('GET', path)).backups;
  if (!backup) throw new CairnError('not-found', `there is no backup ${backupId}`);
  return backup.instance_id;
}

/** `OLD=NEW`, both absolute paths; OLD may be an OID. */
function parseTablespaces(texts: readonly string[]): Record<string, string> {
  const placed: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1 || at === text.length - 1) {
      throw new CairnError('invalid', `--tablespace ${text} is not OLD=NEW`);
    }
    placed[text.slice(0, at)] = resolve(text.slice(at + 1));
  }
  return placed;
}
