import type { Command } from 'commander';
import { Option } from 'commander';
import type { CreateUserResponse, GrantListWire, GrantWire } from '../api/schema/user.ts';
import { CairnError } from '../model/errors.ts';
import type { Role } from '../model/permission.ts';
import { roles } from '../model/permission.ts';
import { Secret } from '../model/secret.ts';
import { generatePassword } from '../operations/identity/passwords.ts';
import { systemRandom } from '../platform/random.ts';
import { findProject, findUser, listProjects, listUsers } from './find-identity.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

type Open = (options: CommonOptions) => Promise<ServiceClient>;

export function addUserCommands(root: Command, program: Program, output: Output): void {
  const group = root.command('user').description('who may log in, and what they may do');
  const open: Open = (options) => openService(options, program);
  addList(group, open, output);
  addAdd(group, open, output);
  addRemove(group, open, output);
  addPassword(group, open, output);
  addGrant(group, open, output);
  addRevoke(group, open, output);
}

function addList(group: Command, open: Open, output: Output): void {
  withCommon(group.command('list').description('list users and their roles')).action(
    async (options: CommonOptions) => {
      const service = await open(options);
      const users = await listUsers(service);
      if (options.json) return output.json({ users });
      const projects = await listProjects(service);
      const nameOf = (id: string): string => projects.find((one) => one.id === id)?.name ?? id;
      const show = ({ project_id, role }: GrantWire): string =>
        `${role} of ${project_id === null ? 'every project' : nameOf(project_id)}`;
      const rows = users.map(({ id, name, created, grants }) => [
        ...[id, name, created],
        grants.map(show).join(', ') || '-',
      ]);
      output.table([['ID', 'NAME', 'CREATED', 'ROLES'], ...rows]);
    },
  );
}

type AddOptions = CommonOptions & PlaceOptions & { passwordStdin?: boolean; role?: Role };

function addAdd(group: Command, open: Open, output: Output): void {
  const add = group.command('add').description('make a user; without a role it can only log in');
  withPlace(withPassword(withCommon(add)))
    .argument('<name>')
    .addOption(roleOption())
    .action(async (name: string, options: AddOptions) => {
      const service = await open(options);
      const hasPlace = options.project !== undefined || options.allProjects;
      if (hasPlace && options.role === undefined) {
        throw new CairnError('invalid', 'a project without a role says nothing', {
          hint: `add --role ${roles.join('|')}`,
        });
      }
      const { role } = options;
      const grants = role ? [{ project_id: await placeOf(service, options), role }] : [];
      const password = options.passwordStdin ? (await readPassword()).reveal() : undefined;
      const body = { name, grants, ...(password === undefined ? {} : { password }) };
      const answer = await service.manage<CreateUserResponse>('POST', '/users', body);
      if (options.json) return output.json(answer);
      output.print(`${answer.user.id}\n`);
      if (answer.password !== null) showOnce(output, 'password', answer.password);
    });
}

function addRemove(group: Command, open: Open, output: Output): void {
  const remove = group.command('remove').description('remove a user with all access keys');
  withCommon(remove)
    .argument('<id-or-name>')
    .action(async (text: string, options: CommonOptions) => {
      const service = await open(options);
      const user = await findUser(service, text);
      await service.manage('DELETE', `/users/${user.id}`);
      if (options.json) output.json({ user });
      else output.print(`removed ${user.name}\n`);
    });
}

function addPassword(group: Command, open: Open, output: Output): void {
  const password = group
    .command('password')
    .description('change a password: one’s own without a name; all tokens of the user end');
  withPassword(withCommon(password))
    .argument('[id-or-name]')
    .action(
      async (text: string | undefined, options: CommonOptions & { passwordStdin?: boolean }) => {
        const service = await open(options);
        const user = text === undefined ? null : await findUser(service, text);
        const isOwn = user === null || user.name === service.userName;
        const given = options.passwordStdin ? await readPassword() : null;
        const wanted = given ?? generatePassword(systemRandom);
        if (isOwn) await service.changeOwnPassword(wanted);
        else {
          const body = { password: wanted.reveal() };
          await service.manage('PUT', `/users/${user.id}/password`, body);
        }
        const made = given ? null : wanted.reveal();
        if (options.json) output.json({ password: made });
        else {
          output.print(`changed the password of ${user?.name ?? service.userName}\n`);
          if (made !== null) showOnce(output, 'password', made);
        }
        // Last: should the file not be writable, the password has been shown.
        if (isOwn) await service.saveOwnPassword(wanted, systemRandom);
      },
    );
}

function addGrant(group: Command, open: Open, output: Output): void {
  const grant = group.command('grant').description('give a role, in place of the one before');
  withPlace(withCommon(grant))
    .argument('<id-or-name>')
    .addOption(roleOption().makeOptionMandatory())
    .action(async (text: string, options: CommonOptions & PlaceOptions & { role: Role }) => {
      const service = await open(options);
      const user = await findUser(service, text);
      const place = (await placeOf(service, options)) ?? 'all';
      const path = `/users/${user.id}/grants/${place}`;
      const answer = await service.manage<GrantListWire>('PUT', path, { role: options.role });
      if (options.json) return output.json(answer);
      output.print(`${user.name} is ${options.role} of ${options.project ?? 'every project'}\n`);
    });
}

function addRevoke(group: Command, open: Open, output: Output): void {
  const revoke = group.command('revoke').description('take a role away');
  withPlace(withCommon(revoke))
    .argument('<id-or-name>')
    .action(async (text: string, options: CommonOptions & PlaceOptions) => {
      const service = await open(options);
      const user = await findUser(service, text);
      const place = (await placeOf(service, options)) ?? 'all';
      await service.manage('DELETE', `/users/${user.id}/grants/${place}`);
      const answer = await service.manage<GrantListWire>('GET', `/users/${user.id}/grants`);
      if (options.json) return output.json(answer);
      output.print(`${user.name} has no role of ${options.project ?? 'every project'} now\n`);
    });
}

type PlaceOptions = { readonly project?: string; readonly allProjects?: boolean };

function withPlace(command: Command): Command {
  return command
    .option('--project <ID-OR-NAME>', 'in this project')
    .option('--all-projects', 'in every project, and in those to come');
}

function withPassword(command: Command): Command {
  return command.option(
    '--password-stdin',
    'read the password from standard input; without it, one is made and shown once',
  );
}

function roleOption(): Option {
  return new Option('--role <ROLE>', 'what the user may do').choices(roles);
}

/** Null: every project, which nobody gets by leaving a word out. @throws invalid, not-found */
async function placeOf(
  service: ServiceClient,
  { project, allProjects = false }: PlaceOptions,
): Promise<string | null> {
  if ((project === undefined) !== allProjects) {
    throw new CairnError('invalid', 'a role is of one project or of all of them', {
      hint: 'say either --project NAME or --all-projects',
    });
  }
  return project === undefined ? null : (await findProject(service, project)).id;
}

/** The first line, as it is but for its end. */
async function readPassword(): Promise<Secret> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return new Secret(text.split(/\r?\n/)[0] ?? '');
}

/** On standard output, where a script can catch it; it is nowhere else. */
export function showOnce(output: Output, name: string, value: string): void {
  output.print(`${name}: ${value}\n`);
  output.complain(`Keep the ${name}: it is not shown again.\n`);
}
