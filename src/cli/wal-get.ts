// Called by a server that recovers in a folder (`restore_command`). It must never take “cannot
// tell” for “there is no such file”: one exit code alone says that, and nothing else uses it.
import type { Command } from 'commander';
import { readFetchPlan } from '../operations/restore/fetch-archived-log.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

const timeoutMs = 15 * 60_000;

export function addWalGetCommand(root: Command, program: Program, output: Output): void {
  root
    .command('wal-get', { hidden: true })
    .description('hand a file of archived log to a server that recovers')
    .requiredOption('--plan <FILE>', 'as “restore --to” has written it')
    .argument('<name>')
    .argument('<target>')
    .action(async (name: string, targetPath: string, options: { plan: string }) => {
      const plan = await readFetchPlan(options.plan);
      const local = await program.local();
      const signal = AbortSignal.timeout(timeoutMs);
      const request = { plan, planPath: options.plan, name, targetPath, signal };
      const { found, absentCode } = await local.fetchArchivedLog(request);
      if (!found) output.exitCode = absentCode;
    });
}
