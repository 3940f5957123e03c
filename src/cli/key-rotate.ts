import type { Command } from 'commander';
import type { AskedJobsWire } from '../api/schema/maintenance.ts';
import { CairnError } from '../model/errors.ts';
import { findStoredInstance } from './find-stored-instance.ts';
import { followJobs } from './follow-jobs.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

type RotateOptions = CommonOptions & { readonly instance?: string; readonly all?: boolean };

export function addRotateCommand(group: Command, program: Program, output: Output): void {
  const rotate = group
    .command('rotate')
    .description('seal new backups with a new data key; the old keys stay for the old backups');
  withCommon(rotate)
    .option('--instance <ID-OR-NAME>', 'of this instance')
    .option('--all', 'of every instance that has backups')
    .action(async (options: RotateOptions) => {
      const { instance, all = false } = options;
      if ((instance === undefined) === !all) {
        throw new CairnError('invalid', 'say --instance INSTANCE or --all');
      }
      const service = await openService(options, program);
      const id = instance === undefined ? null : await findStoredInstance(service, instance);
      const body = id === null ? {} : { instance_id: id };
      const asked = await service.cairn<AskedJobsWire>('POST', '/rotate-keys', body);
      const ids = asked.jobs.map(({ job_id }) => job_id);
      const { jobs, error } = await followJobs(service, ids, { output, clock: program.clock });
      if (options.json) output.json({ jobs });
      else {
        for (const { instance: of, result } of jobs) {
          if (result?.kind === 'rotated-key') output.print(`${of?.name}: ${result.key_id}\n`);
        }
      }
      if (error) throw error;
    });
}
