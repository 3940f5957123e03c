import type { Command } from 'commander';
import type { JobDetailWire } from '../api/schema/job.ts';
import type { AskedJobsWire, PruneReportWire } from '../api/schema/maintenance.ts';
import { formatBytes } from '../model/units.ts';
import { findStoredInstance } from './find-stored-instance.ts';
import { followJobs } from './follow-jobs.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

type PruneOptions = CommonOptions & { readonly instance?: string; readonly dryRun?: boolean };

export function addPruneCommand(root: Command, program: Program, output: Output): void {
  const command = root
    .command('prune')
    .description('delete what no backup needs any more, after a grace period');
  withCommon(command)
    .option('--instance <ID-OR-NAME>', 'only this one; without it all that have backups')
    .option('--dry-run', 'only say what would go')
    .action(async (options: PruneOptions) => {
      const service = await openService(options, program);
      const { instance, dryRun = false } = options;
      const id = instance === undefined ? null : await findStoredInstance(service, instance);
      const body = { dry_run: dryRun, ...(id === null ? {} : { instance_id: id }) };
      const asked = await service.cairn<AskedJobsWire>('POST', '/prune', body);
      const ids = asked.jobs.map(({ job_id }) => job_id);
      const followed = await followJobs(service, ids, { output, clock: program.clock });
      if (options.json) output.json({ jobs: followed.jobs });
      else printReports(followed.jobs, dryRun, output);
      if (followed.error) throw followed.error;
    });
}

function printReports(jobs: readonly JobDetailWire[], dryRun: boolean, output: Output): void {
  const rows: string[][] = [];
  const notes: string[] = [];
  for (const { instance, result } of jobs) {
    if (result?.kind === 'prune') {
      rows.push(rowOf(instance?.name ?? '', result));
      notes.push(...notesOf(result));
    }
    if (result?.kind !== 'unknown-instances') continue;
    for (const id of result.instance_ids) {
      notes.push(`instances/${id}/ belongs to no instance that is known; nothing deletes it`);
    }
  }
  const gone = dryRun ? 'WOULD GO' : 'DELETED';
  if (rows.length > 0) output.table([['INSTANCE', gone, '', 'WAITING', '', 'NEEDED', ''], ...rows]);
  else output.print('there is nothing to prune: no instance has backups\n');
  for (const note of notes) output.print(`${note}\n`);
}

function rowOf(name: string, { removed, waiting, kept }: PruneReportWire): string[] {
  const cells = [removed, waiting, kept].flatMap(({ count, bytes }) => [
    ...[String(count), formatBytes(bytes)],
  ]);
  return [name, ...cells];
}

const orphanTexts = {
  unknown: 'is stored, and the catalog does not know it; “cairn catalog rebuild” takes it in',
  failed: 'is stored, and the catalog knows it as failed; it goes after the grace period',
  deleting: 'is being deleted',
} as const;

function notesOf({ waiting, grace_hours, foreign, orphans }: PruneReportWire): string[] {
  const notes: string[] = [];
  if (waiting.count > 0) {
    notes.push(`what waits goes when it has been seen unneeded for ${grace_hours} hours`);
  }
  for (const { backup_id, status, removed } of orphans) {
    notes.push(`backup ${backup_id} ${removed ? 'had failed and goes' : orphanTexts[status]}`);
  }
  for (const name of foreign.names) notes.push(`${name} was not written by Cairn: left alone`);
  return notes;
}
