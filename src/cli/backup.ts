import type { Command } from 'commander';
import type {
  BackupDetailWire,
  BackupListWire,
  BackupWire,
  CreateBackupResponse,
} from '../api/schema/backup.ts';
import { formatBytes } from '../model/units.ts';
import { addBackupDownload } from './backup-download.ts';
import { factsOfTaking } from './facts-of-taking.ts';
import { findInstance } from './find-instance.ts';
import { followJob } from './follow-job.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

type Context = { readonly program: Program; readonly output: Output };

export function addBackupCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('backup').description('backups: create, list, show, stop, delete');
  const context = { program, output };
  addCreate(group, context);
  addList(group, context);
  addShow(group, context);
  addStop(group, context);
  addBackupDownload(group, program, output);
  addDelete(group, context);
}

type CreateOptions = CommonOptions & {
  readonly instance: string;
  readonly name?: string;
  readonly description?: string;
  readonly database?: readonly string[];
  readonly differential?: boolean;
  readonly wait?: boolean;
};

function addCreate(group: Command, context: Context): void {
  const { program, output } = context;
  withCommon(group.command('create').description('back up a server now'))
    .requiredOption('--instance <ID>', 'id or name of the server')
    .option('--name <NAME>', 'name of the backup (default: made from the time)')
    .option('--description <TEXT>', 'at most 256 characters')
    .option('--database <NAME...>', 'only these databases, exported one by one (default: all)')
    .option('--differential', 'read only what has changed since the last full one (SQL Server)')
    .option('--wait', 'wait for the end and show progress')
    .action(async (options: CreateOptions) => {
      const service = await openService(options, context.program);
      const instance = await findInstance(service, options.instance);
      const name = options.name ?? defaultName(program.clock.now());
      const description = options.description ?? '';
      const databases = (options.database ?? []).map((database) => ({ name: database }));
      const type = options.differential ? 'fragment' : 'manual';
      const body = { instance_id: instance.id, name, description, databases, type };
      const answer = await service.rds<CreateBackupResponse>('POST', '/backups', body);
      if (!options.wait) {
        if (options.json) return output.json(answer);
        return output.print(`${answer.backup.id}\n`);
      }
      await followJob(service, answer.job_id, { output, clock: program.clock });
      await printBackup(service, answer.backup.id, options, output);
    });
}

type ListOptions = CommonOptions & {
  readonly instance?: string;
  readonly type?: string;
  readonly limit: string;
};

function addList(group: Command, context: Context): void {
  withCommon(group.command('list').description('list backups, newest first'))
    .option(
      '--instance <ID>',
      'only those of this server (id or name; also of one that is gone, by id)',
    )
    .option('--type <TYPE>', 'only these: auto, manual, fragment, incremental')
    .option('--limit <N>', 'at most so many', '100')
    .action(async (options: ListOptions) => {
      const service = await openService(options, context.program);
      const query = new URLSearchParams({ limit: options.limit });
      if (options.type) query.set('backup_type', options.type);
      if (options.instance) query.set('instance_id', await idOf(service, options.instance));
      const answer = await service.cairn<BackupListWire>('GET', `/backups?${query}`);
      // Neither a server nor backups of one that is gone: a slip of the pen, not "no backups".
      if (options.instance && !options.type && answer.total_count === 0) {
        await findInstance(service, options.instance);
      }
      if (options.json) return context.output.json(answer);
      const rows = answer.backups.map((backup) => rowOf(backup));
      const head = ['ID', 'NAME', 'TYPE', 'STATUS', 'SIZE', 'BEGAN', 'ENDED'];
      context.output.table([head, ...rows]);
    });
}

/** The id of a server that is gone still finds its backups. */
async function idOf(service: ServiceClient, idOrName: string): Promise<string> {
  const found = await findInstance(service, idOrName).catch(() => null);
  return found?.id ?? idOrName;
}

function addShow(group: Command, context: Context): void {
  withCommon(group.command('show').description('show one backup'))
    .argument('<id>')
    .action(async (id: string, options: CommonOptions) => {
      await printBackup(await openService(options, context.program), id, options, context.output);
    });
}

function addStop(group: Command, { program, output }: Context): void {
  withCommon(group.command('stop').description('stop the backup that runs on a server'))
    .requiredOption('--instance <ID>', 'id or name of the server')
    .action(async (options: CommonOptions & { readonly instance: string }) => {
      const service = await openService(options, program);
      const { id } = await findInstance(service, options.instance);
      const answer = await service.rds<{ job_id: string }>('POST', `/instances/${id}/backups/stop`);
      if (options.json) return output.json(answer);
      output.print(`stopping; its job is ${answer.job_id}\n`);
    });
}

function addDelete(group: Command, context: Context): void {
  const { program, output } = context;
  withCommon(group.command('delete').description('delete a backup; others stay whole'))
    .argument('<id>')
    .option('--wait', 'wait until its space is free')
    .action(async (id: string, options: CommonOptions & { wait?: boolean }) => {
      const service = await openService(options, context.program);
      await service.rds('DELETE', `/backups/${encodeURIComponent(id)}`);
      if (options.wait) await waitUntilGone(service, id, program);
      if (options.json) output.json({ backup_id: id, deleted: options.wait === true });
      else output.print(options.wait ? `deleted ${id}\n` : `deleting ${id}\n`);
    });
}

async function waitUntilGone(service: ServiceClient, id: string, program: Program): Promise<void> {
  const path = `/backups?backup_id=${encodeURIComponent(id)}`;
  while ((await service.rds<BackupListWire>('GET', path)).total_count > 0) {
    await program.clock.sleep(300);
  }
}

async function printBackup(
  service: ServiceClient,
  id: string,
  options: CommonOptions,
  output: Output,
): Promise<void> {
  const path = `/backups/${encodeURIComponent(id)}`;
  const { backup } = await service.cairn<{ backup: BackupDetailWire }>('GET', path);
  if (options.json) return output.json({ backup });
  const { totals } = backup;
  output.facts([
    ['id', backup.id],
    ['name', backup.name],
    ['description', backup.description || null],
    ['instance', `${backup.instance_name} (${backup.instance_id})`],
    ['server', `${backup.datastore.type} ${backup.server_version}`],
    ['type', backup.type],
    ['status', backup.status],
    ['failure', backup.failure_reason],
    ['began', backup.begin_time],
    ['ended', backup.end_time || null],
    ['start position', backup.start_position],
    ['stop position', backup.stop_position],
    ['files', totals?.file_count ?? null],
    ['size', totals ? formatBytes(totals.logical_bytes) : null],
    ['new pages', totals ? formatBytes(totals.new_bytes) : null],
    ['stored', totals ? formatBytes(totals.stored_bytes) : null],
    ...factsOfTaking(backup.taken),
  ]);
}

function rowOf(backup: BackupWire): string[] {
  const size = backup.size > 0 ? formatBytes(backup.size * 1024) : '-';
  const { id, name, type, status, begin_time, end_time } = backup;
  return [id, name, type, status, size, begin_time, end_time || '-'];
}

/** `backup-20260105-030000`, in UTC. */
function defaultName(now: Date): string {
  const digits = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `backup-${digits}`;
}
