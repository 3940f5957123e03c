import { Type } from 'typebox';
import {
  createProject,
  deleteProject,
  listAllProjects,
} from '../../operations/identity/manage-projects.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import {
  CreateProjectRequestSchema,
  ManagedProjectListSchema,
  ManagedProjectResponseSchema,
} from '../schema/project.ts';
import { requireProjectId } from './users.ts';

const tags = ['management'];

/** `/cairn/v1/projects…`: for owners of every project. */
export function registerProjectRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/projects',
    {
      schema: {
        operationId: 'listAllProjects',
        description: 'By name. For owners of every project; others ask /v3/auth/projects.',
        tags,
        response: { 200: refTo(ManagedProjectListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const projects = await listAllProjects(parts, callerOf(request).user);
      return { projects: projects.map(({ id, name }) => ({ id, name })) };
    },
  );
  app.post(
    '/projects',
    {
      schema: {
        operationId: 'createProject',
        description: 'For owners of every project.',
        tags,
        body: refTo(CreateProjectRequestSchema),
        response: { 201: refTo(ManagedProjectResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id, name } = await createProject(parts, callerOf(request).user, request.body.name);
      return await reply.code(201).send({ project: { id, name } });
    },
  );
  app.delete(
    '/projects/:managedProjectId',
    {
      schema: {
        operationId: 'deleteProject',
        description:
          'With its history of jobs. Refused while it has instances, backups or running jobs: ' +
          '409 DBS.200402.',
        tags,
        params: Type.Object({ managedProjectId: Type.String() }),
        response: { 204: Type.Null({ description: 'no body' }), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const id = requireProjectId(request.params.managedProjectId);
      await deleteProject(parts, callerOf(request).user, id);
      return await reply.code(204).send(null);
    },
  );
}
