import { Type } from 'typebox';
import type { InstanceFilter } from '../../catalog/catalog.ts';
import { engines, engineTitles } from '../../model/engine-kind.ts';
import type { ProjectId } from '../../model/ids.ts';
import { requestRemoval } from '../../operations/instances/request-removal.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { regionOf } from '../present/identity.ts';
import { presentInstance } from '../present/instance.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { ListInstancesQuery } from '../schema/instance.ts';
import { InstanceListSchema, ListInstancesQuerySchema } from '../schema/instance.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import { readPage } from '../schema/paging.ts';
import { requireInstanceId } from './path-ids.ts';

const PathSchema = Type.Object({ projectId: Type.String() });

/** `/v3/{project}/instances…`; restoring to a new instance is in `restores.ts`. */
export function registerInstanceRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['instances'];
  app.get(
    '/instances',
    {
      schema: {
        operationId: 'listInstances',
        tags,
        params: PathSchema,
        querystring: ListInstancesQuerySchema,
        response: { 200: refTo(InstanceListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { query } = request;
      // Every registered server is a single one.
      if (query.type === 'Ha' || query.type === 'Replica') return { instances: [], total_count: 0 };
      const filter = readFilter(projectOf(request), query);
      const page = await parts.catalog.instances.list(filter, readPage(query));
      const project = await parts.catalog.identity.findProject(filter.projectId);
      const region = project ? regionOf(project) : '';
      const instances = page.items.map((instance) => presentInstance(instance, region));
      return { instances, total_count: page.total };
    },
  );
  app.delete(
    '/instances/:instanceId',
    {
      schema: {
        operationId: 'deleteInstance',
        description: 'Unregisters it, and stops it if Cairn started it. Manual backups stay.',
        tags,
        params: Type.Object({ projectId: Type.String(), instanceId: Type.String() }),
        response: { 202: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const id = requireInstanceId(request.params.instanceId);
      const { jobId } = await requestRemoval(parts, projectOf(request), id);
      return await reply.code(202).send({ job_id: jobId });
    },
  );
}

function readFilter(projectId: ProjectId, query: ListInstancesQuery): InstanceFilter {
  const engine = engines.find((name) => engineTitles[name] === query.datastore_type);
  return {
    projectId,
    ...(query.id === undefined ? {} : { id: query.id }),
    ...(query.name === undefined ? {} : { name: query.name }),
    ...(engine === undefined ? {} : { engine }),
  };
}
