// A new master key. Works on this machine, beside the service or without it.
import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import type { ChangedMasterKey } from '../operations/keys/change-master-key.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

export function addChangeCommands(group: Command, program: Program, output: Output): void {
  withCommon(group.command('change'))
    .description('change to a new master key; the old one stays valid until it is retired')
    .action(async (options: CommonOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const changed = await (await program.local()).changeMasterKey(config);
      if (options.json) return output.json(presentChange(changed));
      output.print(describeChange(changed));
    });
  withCommon(group.command('retire'))
    .description('take an old master key out of use, once the new one has opened everything')
    .argument('<id>', 'of the old key; cairn key change says it')
    .action(async (id: string, options: CommonOptions) => {
      const config = loadConfig({ dataDir: options.data }, program.environment);
      const { removed } = await (await program.local()).retireMasterKey(config, id);
      if (options.json) return output.json({ master_key_id: id, removed });
      output.print(
        `master key ${id} opens nothing here any more.\n` +
          'A copy of the repository that was taken before still opens with it: keep its\n' +
          'recovery kit as long as you need such a copy.\n',
      );
    });
}

function presentChange({ oldId, newId, dataKeys, secrets, keyToSet }: ChangedMasterKey) {
  return {
    ...{ old_master_key_id: oldId, new_master_key_id: newId },
    ...{ data_keys: dataKeys, secrets, in_use: keyToSet === null, key_to_set: keyToSet },
  };
}

function describeChange({ oldId, newId, dataKeys, secrets, keyToSet }: ChangedMasterKey): string {
  const use =
    keyToSet === null
      ? `master key ${newId} is in use instead of ${oldId}`
      : `master key ${newId} is ready to be used instead of ${oldId}`;
  const counts = `both open ${dataKeys} data keys and ${secrets} secrets of the catalog`;
  const set =
    keyToSet === null ? [] : [`set CAIRN_MASTER_KEY to what ${keyToSet} holds, wherever it is set`];
  const steps = [
    ...set,
    'start the service and its workers again; on other machines: cairn key import first',
    'cairn key change once more, which wraps what they have made meanwhile',
    'cairn key export: the recovery kit on paper is that of the old key',
    `cairn key retire ${oldId}, so that the old key opens nothing any more`,
  ].map((step, index) => `  ${index + 1}. ${step}\n`);
  return `${use}: ${counts}.\nNow:\n${steps.join('')}`;
}
