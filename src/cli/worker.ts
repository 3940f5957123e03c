import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import { isPoolName } from '../model/names.ts';
import { shutdownSignal } from '../platform/shutdown.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export function addWorkerCommand(root: Command, program: Program, output: Output): void {
  root
    .command('worker')
    .description('run jobs of a service that runs elsewhere, or with --workers 0')
    .option('--data <DIR>', 'data folder of the service')
    .option('--pool <NAME...>', 'claim jobs of these pools (default: default)')
    .option('--owner <NAME>', 'name of this worker; a supervisor gives it')
    .action(async (options: { data?: string; pool?: string[]; owner?: string }) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const { pool: pools = [] } = options;
      const wrong = pools.find((pool) => !isPoolName(pool));
      if (wrong !== undefined) {
        throw new CairnError('invalid', `pool name ${JSON.stringify(wrong)} is not valid`, {
          hint: 'use 1 to 32 lower-case letters, digits and hyphens, a letter first',
        });
      }
      const local = await program.local();
      await local.worker(config, {
        pools,
        owner: options.owner ?? null,
        signal: shutdownSignal(),
        onReady: () => output.print('Cairn worker runs\n'),
      });
    });
}
