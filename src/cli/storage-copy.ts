// A second copy of the repository. Works on storage and key alone; the service may run meanwhile.
import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes } from '../model/units.ts';
import { exitCodes } from './exit-codes.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { CopyResult, Program } from './program.ts';

type CopyCommandOptions = CommonOptions & {
  readonly to?: string;
  readonly from?: string;
  readonly instance?: string;
  readonly delete?: boolean;
  readonly verify?: boolean;
};

export function addStorageCopyCommands(group: Command, program: Program, output: Output): void {
  withCommon(group.command('copy'))
    .description('copy the backups to another storage, or compare the two')
    .option('--to <URL>', 'where the copy is, or is to be; by default CAIRN_OFFSITE_STORAGE')
    .option('--from <URL>', 'another source than CAIRN_STORAGE')
    .option('--instance <ID>', 'only the backups of this one (id or name)')
    .option('--delete', 'also delete from the copy what was deleted here; never the newest backup')
    .option('--verify', 'copy nothing: say what the copy lacks')
    .action(async (options: CopyCommandOptions) => {
      const result = await copy(options, program, output);
      output.exitCode = result.problems.length > 0 ? exitCodes.failed : exitCodes.ok;
      if (options.json) return output.json(presentResult(result, options.verify === true));
      printResult(result, options, output);
    });
  withCommon(group.command('promote'))
    .description('make the copy that CAIRN_STORAGE names the repository of this Cairn')
    .action(async (options: CommonOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const promoted = await (await program.local()).promoteCopy(config);
      if (options.json) return output.json(promoted);
      output.print(
        `${promoted.location} is the repository of this Cairn now; nothing is copied there any ` +
          'more.\nStart the service, then look what it holds: cairn check\n',
      );
    });
}

async function copy(
  options: CopyCommandOptions,
  program: Program,
  output: Output,
): Promise<CopyResult> {
  const config = loadConfig({ dataDir: options.data }, program.environment);
  const to = options.to ?? config.offsite?.url;
  if (to === undefined) {
    throw new CairnError('invalid', 'nobody says where the copy is', {
      hint: 'name it with --to file:///… or s3://…, or set CAIRN_OFFSITE_STORAGE',
    });
  }
  const local = await program.local();
  const progress = output.progress();
  const beganMs = program.clock.monotonicMs();
  try {
    return await local.copyBackups(config, {
      ...{ to, from: options.from ?? null, instance: options.instance ?? null },
      ...{ deleteGone: options.delete === true, verify: options.verify === true },
      onProgress: ({ doneBytes, totalBytes }) => {
        const seconds = Math.max(0.001, (program.clock.monotonicMs() - beganMs) / 1000);
        progress.update('copying', doneBytes, totalBytes, doneBytes / seconds);
      },
      signal: new AbortController().signal,
    });
  } finally {
    progress.stop();
  }
}

function presentResult({ onlyInCopy, problems, ...result }: CopyResult, verified: boolean) {
  return {
    ...{ verified, ...result, only_in_copy: onlyInCopy },
    problems: problems.map(({ instanceId, backupId, message }) => ({
      ...{ instance_id: instanceId, backup_id: backupId, message },
    })),
  };
}

function printResult(result: CopyResult, options: CopyCommandOptions, output: Output): void {
  const { verify = false } = options;
  output.facts([
    ['from', result.from],
    ['to', result.to],
    ['instances', result.instances],
    [verify ? 'backups compared' : 'backups copied', result.backups],
    ...(verify
      ? ([
          ['objects compared', result.objects],
          ['backups only there', result.onlyInCopy],
        ] as const)
      : ([
          ['there before', result.present],
          ['written', `${result.objects} objects (${formatBytes(result.bytes)})`],
          ['deleted there', `${result.removed} backups`],
        ] as const)),
  ]);
  for (const { backupId, message } of result.problems) {
    output.print(`\nbackup ${backupId}: ${message}\n`);
  }
  if (verify && result.problems.length === 0) output.print('\nthe copy has everything\n');
  if (!verify && result.problems.length > 0) output.print('\nnot everything was copied\n');
}
