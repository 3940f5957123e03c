// Copies of an instance's backups in the second storage: the policy, and what is there.
import type { Command } from 'commander';
import type { BackupListWire } from '../api/schema/backup.ts';
import type { OffsitePolicyResponse } from '../api/schema/policy.ts';
import { loadConfig } from '../config/config.ts';
import { CairnError, toCairnError } from '../model/errors.ts';
import { findInstance } from './find-instance.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

export type OffsiteFacts = {
  readonly keep_days: number;
  /** Null: there is none, or nobody could look: then `problem` says why. */
  readonly newest: { readonly id: string; readonly name: string; readonly end_time: string } | null;
  readonly backups: number | null;
  readonly problem: string | null;
};

type OffsiteOptions = CommonOptions & { readonly keepDays: string; readonly region?: string };

export function addOffsitePolicyCommand(group: Command, program: Program, output: Output): void {
  withCommon(group.command('offsite').description('copy the backups to the second storage'))
    .argument('<instance>', 'id or name')
    .requiredOption('--keep-days <N>', 'days that copies are kept, the newest longer; 0: no copies')
    .option('--region <NAME>', 'the second storage, as CAIRN_OFFSITE_REGION names it')
    .action(async (instance: string, options: OffsiteOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const service = await openService(options, program);
      const { id } = await findInstance(service, instance);
      const keepDays = Number(options.keepDays);
      if (!Number.isInteger(keepDays)) {
        throw new CairnError('invalid', `${options.keepDays} is no number of days`, {
          hint: 'give a whole number; 0 ends the policy, copies stay',
        });
      }
      const region = options.region ?? config.offsite?.region ?? 'offsite';
      await service.rds('PUT', `/instances/${id}/backups/offsite-policy`, {
        policy_para: {
          ...{ backup_type: 'all', keep_days: keepDays },
          ...{ destination_region: region, destination_project_id: '' },
        },
      });
      const facts = await readOffsite(service, id);
      if (options.json) return output.json({ offsite: facts });
      if (!facts) return output.print('no off-site copies\n');
      output.facts(describeOffsite(facts));
    });
}

/** Null: the instance has no off-site policy. What cannot be looked at is told, not thrown. */
export async function readOffsite(
  service: ServiceClient,
  instanceId: string,
): Promise<OffsiteFacts | null> {
  const path = `/instances/${instanceId}/backups/offsite-policy`;
  const { policy_para: entries } = await service.rds<OffsitePolicyResponse>('GET', path);
  const keepDays = Math.max(0, ...entries.map(({ keep_days: days }) => days));
  if (keepDays === 0) return null;
  try {
    const list = `/offsite-backups?instance_id=${instanceId}&limit=1`;
    const { backups, total_count: count } = await service.rds<BackupListWire>('GET', list);
    const [newest] = backups;
    return {
      keep_days: keepDays,
      newest: newest ? { id: newest.id, name: newest.name, end_time: newest.end_time } : null,
      ...{ backups: count, problem: null },
    };
  } catch (error) {
    const { message } = toCairnError(error);
    return { keep_days: keepDays, newest: null, backups: null, problem: message };
  }
}

export function describeOffsite(facts: OffsiteFacts): (readonly [string, string])[] {
  const { newest, backups, problem } = facts;
  const found = newest ? `${newest.end_time} ${newest.name} (${backups} in all)` : 'none yet';
  return [
    ['off-site', `copies are kept ${facts.keep_days} days, the newest longer`],
    ['newest off-site copy', problem === null ? found : `not known: ${problem}`],
  ];
}
