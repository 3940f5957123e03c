import type { Command } from 'commander';

export type CommonOptions = { readonly data?: string; readonly json?: boolean };

/** What nearly every command takes. */
export function withCommon(command: Command): Command {
  return command
    .option('--data <DIR>', 'data folder of the service (credentials, keys)')
    .option('--json', 'print JSON');
}
