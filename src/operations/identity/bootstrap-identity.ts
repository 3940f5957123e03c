import type { Catalog, Project, User } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import { newProjectId, newUserId } from '../../model/ids.ts';
import type { Secret } from '../../model/secret.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idSource } from '../../platform/random.ts';
import { generateAccessKey } from './manage-access-keys.ts';
import { generatePassword, hashPassword } from './passwords.ts';

/** The setting that holds the name of the one domain. */
export const domainNameSetting = 'identity.domain-name';

export type BootstrapNames = {
  /** Clients of the RDS family look a project up by the name of their region. */
  readonly projectName: string;
  readonly userName: string;
  readonly domainName: string;
};

export const defaultNames: BootstrapNames = {
  projectName: 'cairn',
  userName: 'admin',
  domainName: 'cairn',
};

/** Shown once: the catalog keeps the password as a hash and the secret key wrapped. */
export type FirstCredentials = {
  readonly project: Project;
  readonly userName: string;
  readonly domainName: string;
  readonly password: Secret;
  readonly accessKey: string;
  readonly secretKey: Secret;
};

/**
 * On the first start, makes project, user and access key in one transaction. Null when they exist:
 * of several processes that start at once, one gets the credentials. `save` runs before the
 * transaction commits: when the credentials cannot be kept there is no user who would need them.
 * `projectId`: that of a project which existed before; a new one without it.
 */
export async function bootstrapIdentity(
  parts: { readonly catalog: Catalog; readonly random: Random; readonly clock: Clock },
  save: (credentials: FirstCredentials) => Promise<void>,
  names: BootstrapNames = defaultNames,
  projectId?: ProjectId,
): Promise<FirstCredentials | null> {
  if ((await parts.catalog.identity.listProjects()).length > 0) return null;
  const { random } = parts;
  const hex = idSource(random);
  const password = generatePassword(random);
  const domainId = hex();
  const id = projectId ?? newProjectId(hex);
  const project: Project = { id, name: names.projectName, domainId };
  const user: User = {
    id: newUserId(hex),
    name: names.userName,
    domainId,
    domainName: names.domainName,
    passwordHash: await hashPassword(password, random),
    createdAt: parts.clock.now(),
  };
  const key = generateAccessKey(random, user.id, user.createdAt);
  const { accessKey, secretKey } = key;
  const { userName, domainName } = names;
  const credentials = { project, userName, domainName, password, accessKey, secretKey };
  const made = await parts.catalog.transaction(async (tx) => {
    if ((await tx.identity.listProjects()).length > 0) return false;
    const winner = await tx.settings.ensure('identity.bootstrap', user.id);
    if (winner !== user.id) return false;
    await tx.settings.ensure(domainNameSetting, names.domainName);
    await tx.identity.insertProject(project);
    await tx.identity.insertUser(user);
    await tx.identity.setGrant({ userId: user.id, projectId: null, role: 'owner' });
    await tx.identity.insertAccessKey(key);
    await save(credentials);
    return true;
  });
  return made ? credentials : null;
}
