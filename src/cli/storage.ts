// Works on this machine, without the service: it is what one runs before the first start.
import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { exitCodes } from './exit-codes.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import { addStorageCopyCommands } from './storage-copy.ts';
import { addStorageLockCommand } from './storage-lock.ts';
import { addStoragePresignCommand } from './storage-presign.ts';

type CheckOptions = CommonOptions & { readonly storage?: string };

export function addStorageCommands(root: Command, program: Program, output: Output): void {
  const storage = root.command('storage').description('where backups are kept');
  addStorageCopyCommands(storage, program, output);
  addStorageLockCommand(storage, program, output);
  addStoragePresignCommand(storage, program, output);
  withCommon(storage.command('check'))
    .description('try what Cairn needs of its storage; leaves nothing behind')
    .option('--storage <URL>', 'another one than CAIRN_STORAGE: file:///… or s3://…')
    .action(async (options: CheckOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const url = options.storage ?? config.storageUrl;
      const local = await program.local();
      const checks = await local.examineStorage(url);
      const isHealthy = checks.every(({ verdict }) => verdict !== 'failed');
      output.exitCode = isHealthy ? exitCodes.ok : exitCodes.failed;
      if (options.json) return output.json({ healthy: isHealthy, checks });
      output.table([
        ['CHECK', 'VERDICT', 'FOUND'],
        ...checks.map(({ check, verdict, text }) => [check, verdict, text]),
      ]);
      for (const { check, hint } of checks) if (hint) output.print(`→ ${check}: ${hint}\n`);
    });
}
