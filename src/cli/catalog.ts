import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { exitCodes } from './exit-codes.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program, RebuildResult } from './program.ts';

type RebuildOptions = CommonOptions & { readonly takeOver?: boolean };

export function addCatalogCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('catalog').description('what Cairn knows besides the backups');
  const rebuild = group
    .command('rebuild')
    .description('make the catalog anew from storage and master key alone');
  withCommon(rebuild)
    .option('--take-over', 'the Cairn that owns the storage is gone for good: shut it out')
    .action(async (options: RebuildOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const local = await program.local();
      const result = await local.rebuildCatalog(config, {
        ...{ takeOver: options.takeOver === true, signal: new AbortController().signal },
        onBackup: (count) => {
          if (count % 1000 === 0) output.complain(`${count} backups …\n`);
        },
      });
      output.exitCode =
        result.unreadable.length + result.unreadableLog.length > 0
          ? exitCodes.damaged
          : exitCodes.ok;
      if (options.json) output.json(presentResult(result));
      else printResult(result, output);
    });
}

function presentResult(rebuilt: RebuildResult) {
  const { knownBackups, logStreams, unreadable, unreadableLog, ...result } = rebuilt;
  return {
    ...result,
    known_backups: knownBackups,
    log_streams: logStreams,
    unreadable: unreadable.map(({ backupId, message }) => ({ backup_id: backupId, message })),
    unreadable_log: unreadableLog.map(({ streamId, message }) => ({
      ...{ stream_id: streamId, message },
    })),
  };
}

function printResult(result: RebuildResult, output: Output): void {
  output.facts([
    ['storage', result.location],
    ['new projects', result.projects],
    ['new instances', result.instances],
    ['new backups', result.backups],
    ['known already', result.knownBackups],
    ['new streams of log', result.logStreams],
    ['login', result.credentials],
  ]);
  for (const { backupId, message } of result.unreadable) {
    output.print(`not taken in: backup ${backupId}: ${message}\n`);
  }
  for (const { streamId, message } of result.unreadableLog) {
    output.print(`not taken in: stream of log ${streamId}: ${message}\n`);
  }
  if (result.instances > 0) {
    output.print(
      'Restores and downloads work now. For new backups give each instance its address again:\n' +
        '  cairn instance update ID --url URL\n' +
        'and its policy (cairn policy set); until then nothing is made or deleted by itself.\n',
    );
  }
}
