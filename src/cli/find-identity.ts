import type { ManagedProjectListWire } from '../api/schema/project.ts';
import type { UserListWire, UserWire } from '../api/schema/user.ts';
import { CairnError } from '../model/errors.ts';
import type { ServiceClient } from './service-client.ts';

type Project = ManagedProjectListWire['projects'][number];

export async function listUsers(service: ServiceClient): Promise<readonly UserWire[]> {
  return (await service.manage<UserListWire>('GET', '/users')).users;
}

export async function listProjects(service: ServiceClient): Promise<readonly Project[]> {
  return (await service.manage<ManagedProjectListWire>('GET', '/projects')).projects;
}

/** @throws not-found */
export async function findUser(service: ServiceClient, text: string): Promise<UserWire> {
  return pick(await listUsers(service), text, 'user');
}

/** @throws not-found */
export async function findProject(service: ServiceClient, text: string): Promise<Project> {
  return pick(await listProjects(service), text, 'project');
}

function pick<T extends { readonly id: string; readonly name: string }>(
  items: readonly T[],
  text: string,
  what: string,
): T {
  const found = items.find(({ id }) => id === text) ?? items.find(({ name }) => name === text);
  if (found) return found;
  throw new CairnError('not-found', `there is no ${what} ${text}`, {
    hint: `list them with: cairn ${what} list`,
  });
}
