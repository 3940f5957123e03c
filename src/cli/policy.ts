import type { Command } from 'commander';
import type { PolicyResponse } from '../api/schema/policy.ts';
import { CairnError } from '../model/errors.ts';
import { countAutomated, describeAutomated } from './automated-backups.ts';
import { findInstance } from './find-instance.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import { addOffsitePolicyCommand, describeOffsite, readOffsite } from './policy-offsite.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

type WirePolicy = PolicyResponse['backup_policy'];
const nightly = { start_time: '02:00-03:00', period: '1,2,3,4,5,6,7' };

type Context = { readonly program: Program; readonly output: Output };

export function addPolicyCommands(root: Command, program: Program, output: Output): void {
  const group = root
    .command('policy')
    .description('automated backups of an instance: when, and for how many days');
  const context = { program, output };
  addShow(group, context);
  addSet(group, context);
  addOff(group, context);
  addOffsitePolicyCommand(group, program, output);
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
  readonly keepDays?: string;
  readonly at?: string;
  readonly days?: string;
};

function addSet(group: Command, { program, output }: Context): void {
  withCommon(group.command('set').description('back up by itself, and keep for some days'))
    .argument('<instance>', 'id or name')
    .option('--keep-days <N>', '1 to 732 (PostgreSQL: 3660); the newest backup stays longer')
    .option(
      '--at <HH:MM-HH:MM>',
      `window of one hour, UTC, beginning at a quarter (default: ${nightly.start_time})`,
    )
    .option('--days <LIST>', `weekdays, 1 is Monday (default: ${nightly.period})`)
    .addHelpText('after', '\nWhat is not named stays as it is, if a policy is on.')
    .action(async (instance: string, options: SetOptions) => {
      if (options.keepDays !== undefined && Number(options.keepDays) === 0) {
        throw new CairnError('invalid', '--keep-days 0 would switch the policy off', {
          hint: 'say so with: cairn policy off INSTANCE',
        });
      }
      const service = await openService(options, program);
      const path = await pathOf(service, instance);
      const before = (await service.rds<PolicyResponse>('GET', path)).backup_policy;
      await service.rds('PUT', path, { backup_policy: changePolicy(before, options) });
      await printPolicy(service, path, options, output);
    });
}

/** What is named, over the policy that is on, or over what a new one has. @throws invalid */
function changePolicy(before: WirePolicy, { keepDays, at, days }: SetOptions): WirePolicy {
  const isOn = before.keep_days > 0;
  if (!isOn && keepDays === undefined) {
    throw new CairnError('invalid', 'the policy is off: it is not known how long backups stay', {
      hint: 'say it with --keep-days N',
    });
  }
  return {
    ...(isOn ? before : nightly),
    keep_days: keepDays === undefined ? before.keep_days : Number(keepDays),
    ...(at !== undefined && { start_time: at }),
    ...(days !== undefined && { period: days }),
  };
}

function addOff(group: Command, { program, output }: Context): void {
  withCommon(group.command('off').description('make no more automated backups'))
    .argument('<instance>', 'id or name')
    .option('--delete-backups', 'delete the automated backups too; manual ones stay')
    .option('--yes', 'needed for --delete-backups when there are any')
    .action(async (instance: string, options: OffOptions) => {
      const service = await openService(options, program);
      const { id } = await findInstance(service, instance);
      const path = policyPath(id);
      const reserve = options.deleteBackups !== true;
      if (!reserve && !options.yes) await assertNoneGoes(service, id);
      await service.rds('PUT', path, {
        backup_policy: { keep_days: 0 },
        reserve_backups: reserve,
      });
      await printPolicy(service, path, options, output);
    });
}

type OffOptions = CommonOptions & { readonly deleteBackups?: boolean; readonly yes?: boolean };

/** @throws invalid with the number of backups that would be deleted */
async function assertNoneGoes(service: ServiceClient, instanceId: string): Promise<void> {
  const count = await countAutomated(service, instanceId);
  if (count === 0) return;
  throw new CairnError('invalid', `${describeAutomated(count)} would be deleted`, {
    hint: 'say --yes to delete them; without --delete-backups they stay',
  });
}

async function pathOf(service: ServiceClient, idOrName: string): Promise<string> {
  return policyPath((await findInstance(service, idOrName)).id);
}

function policyPath(instanceId: string): string {
  return `/instances/${instanceId}/backups/policy`;
}

async function printPolicy(
  service: ServiceClient,
  path: string,
  options: CommonOptions,
  output: Output,
): Promise<void> {
  const answer = await service.rds<PolicyResponse>('GET', path);
  const offsite = await readOffsite(service, path.split('/')[2] ?? '');
  if (options.json) return output.json({ ...answer, ...(offsite && { offsite }) });
  const { keep_days: keepDays, start_time: window, period } = answer.backup_policy;
  const copies = offsite ? describeOffsite(offsite) : [];
  if (keepDays === 0) {
    output.print('off: no automated backups\n');
    return copies.length > 0 ? output.facts(copies) : undefined;
  }
  output.facts([
    ['window', `${window} UTC`],
    ['weekdays', `${period} (1 is Monday)`],
    ['kept', `${keepDays} days; the newest completed backup longer`],
    ...copies,
  ]);
}
