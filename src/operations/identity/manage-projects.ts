// Projects: the walls between what belongs to different people. Owners of the domain put them up.
import type { CatalogSession, Project, User } from '../../catalog/catalog.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { newProjectId } from '../../model/ids.ts';
import { isProjectName } from '../../model/names.ts';
import { idSource } from '../../platform/random.ts';
import type { RequestParts } from '../parts.ts';
import { requireProject } from './manage-users.ts';
import { requireDomainOwner } from './roles.ts';

type ProjectParts = Pick<RequestParts, 'catalog' | 'random' | 'log'>;

/** By name. @throws forbidden */
export async function listAllProjects(
  parts: ProjectParts,
  asker: User,
): Promise<readonly Project[]> {
  await requireDomainOwner(parts, asker);
  const projects = await parts.catalog.identity.listProjects();
  return projects.filter(({ domainId }) => domainId === asker.domainId);
}

/** @throws forbidden; invalid for the name; conflict when it is taken */
export async function createProject(
  parts: ProjectParts,
  asker: User,
  name: string,
): Promise<Project> {
  await requireDomainOwner(parts, asker);
  if (!isProjectName(name)) {
    throw new CairnError('invalid', 'the project name is not valid', {
      hint: 'use 1 to 64 letters, digits, hyphens and underscores',
    });
  }
  const id = newProjectId(idSource(parts.random));
  const project: Project = { id, name, domainId: asker.domainId };
  try {
    await parts.catalog.identity.insertProject(project);
  } catch (cause) {
    if (!isErrorKind(cause, 'conflict')) throw cause;
    throw new CairnError('conflict', `a project named ${name} exists already`, {
      reason: 'project-name-taken',
      cause,
    });
  }
  parts.log.info({ projectId: id, by: asker.id }, 'project made');
  return project;
}

/**
 * With its history of jobs.
 * @throws forbidden, not-found; conflict while there is anything in it
 */
export async function deleteProject(
  parts: ProjectParts,
  asker: User,
  id: ProjectId,
): Promise<void> {
  await requireDomainOwner(parts, asker);
  try {
    await parts.catalog.transaction(async (tx) => {
      await requireProject(tx, asker, id);
      await assertEmpty(tx, id);
      await tx.identity.deleteProject(id);
    });
  } catch (cause) {
    // What came into it meanwhile refers to it.
    const isLate = isErrorKind(cause, 'conflict') && cause.reason === null;
    throw isLate ? notEmpty(cause) : cause;
  }
  parts.log.info({ projectId: id, by: asker.id }, 'project removed');
}

async function assertEmpty(tx: CatalogSession, projectId: ProjectId): Promise<void> {
  const page = { offset: 0, limit: 1 };
  const statuses = ['queued', 'running'] as const;
  const totals = [
    await tx.instances.list({ projectId }, page),
    await tx.backups.list({ projectId }, page),
    await tx.jobs.list({ projectId, statuses }, page),
  ].map(({ total }) => total);
  if (totals.some((total) => total > 0)) throw notEmpty();
}

function notEmpty(cause?: unknown): CairnError {
  return new CairnError('conflict', 'the project has instances, backups or running jobs', {
    reason: 'project-not-empty',
    hint: 'remove its instances and delete its backups first',
    cause,
  });
}
