// The master key on its way to paper and back.
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { CairnError, toCairnError } from '../model/errors.ts';
import { version } from '../model/version.ts';
import { composeKit, parseKit } from '../operations/keys/recovery-kit.ts';
import type { CommonOptions } from './options.ts';
import { withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';

type ExportOptions = CommonOptions & { readonly yes?: boolean };

export function addKitCommands(group: Command, program: Program, output: Output): void {
  const exporting = group
    .command('export')
    .description('print the recovery kit with the master key: restores need nothing else');
  withCommon(exporting)
    .option('--yes', 'show it on a terminal too')
    .action((options: ExportOptions) => exportKit(options, program, output));
  const importing = group
    .command('import')
    .description('put the master key of a recovery kit into the data folder');
  withCommon(importing)
    .argument('[file]', 'the kit, its four lines or the 64 digits; - or nothing: standard input')
    .action((file: string | undefined, options: CommonOptions) =>
      importKit(file, options, program, output),
    );
}

async function exportKit(options: ExportOptions, program: Program, output: Output): Promise<void> {
  if (output.isTerminal && !options.yes) {
    throw new CairnError('invalid', 'the recovery kit holds the master key, and this is a screen', {
      hint: 'send it to a printer or a file (cairn key export | lpr), or say --yes to see it here',
    });
  }
  const config = loadConfig({ dataDir: options.data }, program.environment);
  const local = await program.local();
  const masterKey = await local.readMasterKey(config);
  const { storageUrl } = config;
  const repository = await local.findRepository(config).catch((error: unknown) => {
    const { kind, message } = toCairnError(error);
    // A kit with a key of something else would be found out when it is needed.
    if (kind !== 'not-found' && kind !== 'storage-unavailable') throw error;
    output.complain(`the storage could not be asked: ${message}\n`);
    return null;
  });
  const repositoryId = repository?.id ?? null;
  if (!options.json) {
    const now = program.clock.now();
    return output.print(composeKit({ storageUrl, repositoryId, masterKey, version, now }));
  }
  output.json({
    storage: storageUrl,
    repository_id: repositoryId,
    master_key_id: masterKey.id,
    master_key: masterKey.reveal(),
  });
}

async function importKit(
  file: string | undefined,
  options: CommonOptions,
  program: Program,
  output: Output,
): Promise<void> {
  const config = loadConfig({ dataDir: options.data }, program.environment);
  const key = parseKit(await readKit(file));
  const { path, keyId, repositoryId, isNew } = await (await program.local()).importMasterKey(
    config,
    key,
  );
  if (options.json) {
    return output.json({ path, master_key_id: keyId, repository_id: repositoryId, new: isNew });
  }
  output.print(`${isNew ? 'wrote' : 'found'} ${path}: key ${keyId} opens ${config.storageUrl}\n`);
}

/** Four lines typed in end with an empty one, or with Ctrl-D. */
async function readKit(file: string | undefined): Promise<string> {
  if (file !== undefined && file !== '-') {
    return await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw new CairnError('not-found', `cannot read ${file}: ${cause.code}`, { cause });
    });
  }
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk;
    if (process.stdin.isTTY && /\n\s*\n$/.test(text)) break;
  }
  return text;
}
