import type { Command } from 'commander';
import type { Program } from './program.ts';
import { ServiceClient } from './service-client.ts';

export type CommonOptions = { readonly data?: string; readonly json?: boolean };

/** What nearly every command takes. */
export function withCommon(command: Command): Command {
  return command
    .option('--data <DIR>', 'data folder of the service (credentials, keys)')
    .option('--json', 'print JSON');
}

/** The service that the options, or the environment, name. @throws not-found without credentials */
export async function openService(
  { data }: CommonOptions,
  { environment }: Pick<Program, 'environment'>,
): Promise<ServiceClient> {
  return await ServiceClient.open({ dataDir: data, environment });
}
