import type { Command } from 'commander';
import type { JobDetailListWire, JobDetailResponse, JobDetailWire } from '../api/schema/job.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes } from '../model/units.ts';
import { factsOfDatabases, factsOfRestore } from './facts-of-restore.ts';
import { factsOfTaking } from './facts-of-taking.ts';
import { awaitEnd } from './follow-job.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export function addJobCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('job').description('what Cairn does or has done');
  addCancel(group, program, output);
  withCommon(group.command('list').description('list jobs, newest first'))
    .option('--limit <N>', 'at most so many', '50')
    .action(async (options: CommonOptions & { limit: string }) => {
      const service = await openService(options, program);
      const path = `/jobs?${new URLSearchParams({ limit: options.limit })}`;
      const answer = await service.cairn<JobDetailListWire>('GET', path);
      if (options.json) return output.json(answer);
      const rows = answer.jobs.map((job) => [
        ...[job.id, job.kind, job.instance?.name ?? '-', job.status, progressOf(job)],
        ...[job.created, job.ended ?? '-'],
      ]);
      output.table([['ID', 'KIND', 'INSTANCE', 'STATUS', 'PROGRESS', 'CREATED', 'ENDED'], ...rows]);
    });
  withCommon(group.command('show').description('show one job'))
    .argument('<id>')
    .action(async (id: string, options: CommonOptions) => {
      const path = `/jobs/${encodeURIComponent(id)}`;
      const { job } = await (await openService(options, program)).cairn<JobDetailResponse>(
        'GET',
        path,
      );
      if (options.json) return output.json({ job });
      output.facts([
        ['id', job.id],
        ['kind', job.kind],
        ['instance', job.instance?.name ?? null],
        ['backup', job.backup_id],
        ['status', job.status],
        ['attempt', `${job.attempt} of ${job.attempts_max}`],
        ['progress', progressOf(job)],
        ['error', job.error ? `${job.error.message} (${job.error.kind})` : null],
        ['hint', job.error?.hint ?? null],
        ['created', job.created],
        ['started', job.started],
        ['ended', job.ended],
        ...factsOfTaking(job.result?.kind === 'backup' ? job.result : null),
        ...factsOfRestore(job.result?.kind === 'restore' ? job.result : null),
        ...factsOfDatabases(job.result?.kind === 'restored-databases' ? job.result : null),
      ]);
    });
}

function addCancel(group: Command, program: Program, output: Output): void {
  withCommon(group.command('cancel').description('end a job that waits or runs'))
    .argument('<id>')
    .option('--wait', 'wait until it has ended')
    .action(async (id: string, options: CommonOptions & { wait?: boolean }) => {
      const service = await openService(options, program);
      const path = `/jobs/${encodeURIComponent(id)}/cancel`;
      const asked = (await service.cairn<JobDetailResponse>('POST', path)).job;
      const parts = { output, clock: program.clock };
      const job = options.wait ? await awaitEnd(service, id, parts) : asked;
      if (options.wait) assertCancelled(job);
      if (options.json) return output.json({ job });
      output.print(job.status === 'cancelled' ? `cancelled ${id}\n` : `cancelling ${id}\n`);
    });
}

/** @throws conflict when it had ended by itself before its worker heard of it */
function assertCancelled({ id, status }: JobDetailWire): void {
  if (status === 'cancelled') return;
  throw new CairnError('conflict', `job ${id} ${status} before it could be cancelled`);
}

function progressOf({ progress }: JobDetailWire): string {
  if (!progress) return '-';
  const { phase, done_bytes, total_bytes } = progress;
  const total = total_bytes === null ? '' : ` of ${formatBytes(total_bytes)}`;
  return `${phase} ${formatBytes(done_bytes)}${total}`;
}
