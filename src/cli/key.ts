import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export function addKeyCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('key').description('the key that everything is sealed with');
  const command = group
    .command('export')
    .description('print the recovery kit: what is needed to restore on an empty machine');
  withCommon(command).action(async (options: CommonOptions) => {
    const config = loadConfig({ dataDir: options.data }, program.environment);
    const key = await (await program.local()).readMasterKey(config);
    const { storageUrl } = config;
    if (options.json) {
      const record = { storage: storageUrl, master_key_id: key.id, master_key: key.reveal() };
      return output.json(record);
    }
    output.print(
      [
        'Cairn recovery kit. Keep it apart from the backups: whoever has both can read the data,',
        'and without the key nobody can.',
        '',
        `  storage:     ${storageUrl}`,
        `  key id:      ${key.id}`,
        `  master key:  ${key.reveal()}`,
        '',
        'To restore on an empty machine:',
        '',
        `  export CAIRN_STORAGE=${storageUrl}`,
        '  export CAIRN_MASTER_KEY=<master key>',
        '  cairn restore --backup <backup id> --to <new folder>',
        '',
      ].join('\n'),
    );
  });
}
