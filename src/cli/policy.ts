import type { Command } from 'commander';
import type { PolicyResponse } from '../api/schema/policy.ts';
import { CairnError } from '../model/errors.ts';
import { findInstance } from './find-instance.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

type Context = { readonly program: Program; readonly output: Output };

export function addPolicyCommands(root: Command, program: Program, output: Output): void {
  const group = root
    .command('policy')
    .description('automated backups of an instance: when, and for how many days');
  const context = { program, output };
  addShow(group, context);
  addSet(group, context);
  addOff(group, context);
}

function addShow(group: Command, { program, output }: Context): void {
  withCommon(group.command('show').description('show the policy of an instance'))
    .argument('<instance>', 'id or name')
    .action(async (instance: string, options: CommonOptions) => {
      const service = await openService(options, program);
      await printPolicy(service, await pathOf(service, instance), options, output);
    });
}

type SetOptions = CommonOptions & {
  readonly keepDays: string;
  readonly at: string;
  readonly days: string;
};

function addSet(group: Command, { program, output }: Context): void {
  withCommon(group.command('set').description('back up by itself, and keep for some days'))
    .argument('<instance>', 'id or name')
    .requiredOption(
      '--keep-days <N>',
      '1 to 732 (PostgreSQL: 3660); the newest backup stays longer',
    )
    .option('--at <HH:MM-HH:MM>', 'window of one hour, UTC, beginning at a quarter', '02:00-03:00')
    .option('--days <LIST>', 'weekdays, 1 is Monday', '1,2,3,4,5,6,7')
    .action(async (instance: string, options: SetOptions) => {
      const keepDays = Number(options.keepDays);
      if (keepDays === 0) {
        throw new CairnError('invalid', '--keep-days 0 would switch the policy off', {
          hint: 'say so with: cairn policy off INSTANCE',
        });
      }
      const service = await openService(options, program);
      const path = await pathOf(service, instance);
      const policy = { keep_days: keepDays, start_time: options.at, period: options.days };
      await service.rds('PUT', path, { backup_policy: policy });
      await printPolicy(service, path, options, output);
    });
}

function addOff(group: Command, { program, output }: Context): void {
  withCommon(group.command('off').description('make no more automated backups'))
    .argument('<instance>', 'id or name')
    .option('--delete-backups', 'delete the automated backups too; manual ones stay')
    .action(async (instance: string, options: CommonOptions & { deleteBackups?: boolean }) => {
      const service = await openService(options, program);
      const path = await pathOf(service, instance);
      const reserve = options.deleteBackups !== true;
      await service.rds('PUT', path, {
        backup_policy: { keep_days: 0 },
        reserve_backups: reserve,
      });
      await printPolicy(service, path, options, output);
    });
}

async function pathOf(service: ServiceClient, idOrName: string): Promise<string> {
  const { id } = await findInstance(service, idOrName);
  return `/instances/${id}/backups/policy`;
}

async function printPolicy(
  service: ServiceClient,
  path: string,
  options: CommonOptions,
  output: Output,
): Promise<void> {
  const answer = await service.rds<PolicyResponse>('GET', path);
  if (options.json) return output.json(answer);
  const { keep_days: keepDays, start_time: window, period } = answer.backup_policy;
  if (keepDays === 0) return output.print('off: no automated backups\n');
  output.facts([
    ['window', `${window} UTC`],
    ['weekdays', `${period} (1 is Monday)`],
    ['kept', `${keepDays} days; the newest completed backup longer`],
  ]);
}
