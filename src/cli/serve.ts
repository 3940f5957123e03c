import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { loadConfig } from '../config/config.ts';
import { shutdownSignal } from '../platform/shutdown.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

const workersMax = 64;

export function addServeCommand(root: Command, program: Program, output: Output): void {
  root
    .command('serve')
    .description('run the API and its workers until Ctrl-C')
    .option('--data <DIR>', 'folder for everything that Cairn keeps')
    .option('--listen <HOST:PORT>', 'address of the API (default 127.0.0.1:8635)')
    .option('--workers <N>', 'worker processes to run; 0 for none', parseWorkers, 1)
    .action(async (options: { data?: string; listen?: string; workers: number }) => {
      const overrides = { dataDir: options.data, listen: options.listen };
      const config = loadConfig(overrides, program.environment);
      const local = await program.local();
      await local.serve(config, {
        workers: options.workers,
        signal: shutdownSignal(),
        onReady: ({ endpoint, credentials, madeCredentials }) => {
          output.print(`Cairn listens on ${endpoint}\n`);
          if (!madeCredentials) return;
          output.print(`The administrator's credentials are in ${credentials} (mode 0600).\n`);
        },
      });
    });
}

function parseWorkers(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0 && count <= workersMax) return count;
  throw new InvalidArgumentError(`give a whole number from 0 to ${workersMax}`);
}
