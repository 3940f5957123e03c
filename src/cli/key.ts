// Two kinds of key have nothing to do with each other: the master key seals the backups, access
// keys sign requests.
import type { Command } from 'commander';
import type { AccessKeyListWire, CreateAccessKeyResponse } from '../api/schema/user.ts';
import { findUser } from './find-identity.ts';
import { addChangeCommands } from './key-change.ts';
import { addKitCommands } from './key-kit.ts';
import { addRotateCommand } from './key-rotate.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';
import { showOnce } from './user.ts';

type UserOptions = CommonOptions & { readonly user?: string };

export function addKeyCommands(root: Command, program: Program, output: Output): void {
  const group = root
    .command('key')
    .description('the master key that backups are sealed with; access keys that sign requests');
  addKitCommands(group, program, output);
  addChangeCommands(group, program, output);
  addRotateCommand(group, program, output);
  addAccessKeyList(group, program, output);
  addAccessKeyChanges(group, program, output);
}

function addAccessKeyList(group: Command, program: Program, output: Output): void {
  const list = group.command('list').description('list access keys; never their secrets');
  withUser(withCommon(list)).action(async (options: UserOptions) => {
    const service = await openService(options, program);
    const path = `/users/${await userOf(service, options)}/access-keys`;
    const answer = await service.manage<AccessKeyListWire>('GET', path);
    if (options.json) return output.json(answer);
    const rows = answer.access_keys.map(({ access_key, created }) => [access_key, created]);
    output.table([['ACCESS KEY', 'CREATED'], ...rows]);
  });
}

function addAccessKeyChanges(group: Command, program: Program, output: Output): void {
  const add = group.command('add').description('make an access key; its secret is shown once');
  withUser(withCommon(add)).action(async (options: UserOptions) => {
    const service = await openService(options, program);
    const path = `/users/${await userOf(service, options)}/access-keys`;
    const answer = await service.manage<CreateAccessKeyResponse>('POST', path);
    if (options.json) return output.json(answer);
    output.print(`access key: ${answer.access_key}\n`);
    showOnce(output, 'secret key', answer.secret_key);
  });
  withCommon(group.command('remove').description('remove an access key: it signs nothing more'))
    .argument('<access-key>')
    .action(async (accessKey: string, options: CommonOptions) => {
      const service = await openService(options, program);
      await service.manage('DELETE', `/access-keys/${encodeURIComponent(accessKey)}`);
      if (options.json) output.json({ access_key: accessKey });
      else output.print(`removed ${accessKey}\n`);
    });
}

function withUser(command: Command): Command {
  return command.option('--user <ID-OR-NAME>', 'whose access keys; one’s own without it');
}

async function userOf(service: ServiceClient, { user }: UserOptions): Promise<string> {
  return user === undefined ? 'me' : (await findUser(service, user)).id;
}
