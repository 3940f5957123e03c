import { Type } from 'typebox';
import type { CatalogSession, InstanceFilter, Tag } from '../../catalog/catalog.ts';
import { engines, engineTitles } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { requestRemoval } from '../../operations/instances/request-removal.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { regionOf } from '../present/identity.ts';
import type { InstanceSurroundings } from '../present/instance.ts';
import { presentInstance, presentSimplified } from '../present/instance.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { ListInstancesQuery } from '../schema/instance.ts';
import {
  InstanceListSchema,
  ListInstancesQuerySchema,
  SimplifiedInstanceListSchema,
  SimplifiedInstancesRequestSchema,
} from '../schema/instance.ts';
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
      config: needs('rds:instance:list'),
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
      const filter = readFilter(projectOf(request), query);
      if (matchesNothing(query)) return { instances: [], total_count: 0 };
      const page = await parts.catalog.instances.list(filter, readPage(query));
      const around = await readSurroundings(parts.catalog, filter.projectId, page.items);
      const instances = page.items.map((instance) => presentInstance(instance, around(instance)));
      return { instances, total_count: page.total };
    },
  );
  app.post(
    '/simplified-instances',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listSimplifiedInstances',
        description: 'Ids that no instance has are left out.',
        tags,
        params: PathSchema,
        body: refTo(SimplifiedInstancesRequestSchema),
        response: { 200: refTo(SimplifiedInstanceListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const ids = request.body.instance_ids.filter((id) => parseInstanceId(id) !== null);
      if (ids.length === 0) return { instances: [] };
      const filter = { projectId: projectOf(request), ids };
      const page = await parts.catalog.instances.list(filter, { offset: 0, limit: ids.length });
      return { instances: page.items.map(presentSimplified) };
    },
  );
  app.delete(
    '/instances/:instanceId',
    {
      config: needs('rds:instance:delete'),
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

/** Every registered server is a single one, in no network and no group. */
function matchesNothing(query: ListInstancesQuery): boolean {
  const { type, vpc_id, subnet_id, group_type, eps_id } = query;
  const hasProject = eps_id === undefined || eps_id === '0' || eps_id === 'all_granted_eps';
  return (type ?? 'Single') !== 'Single' || !hasProject || !!(vpc_id || subnet_id || group_type);
}

/** Two queries for a page, not two for each of its instances. */
async function readSurroundings(
  catalog: CatalogSession,
  projectId: ProjectId,
  instances: readonly Instance[],
): Promise<(instance: Instance) => InstanceSurroundings> {
  const project = await catalog.identity.findProject(projectId);
  const ids = instances.map(({ id }) => id);
  const policies = await catalog.policies.listFor(ids);
  const policyOf = new Map(policies.map(({ instanceId, policy }) => [instanceId, policy]));
  const tagsOf = Map.groupBy(await catalog.tags.list(ids), ({ instanceId }) => instanceId);
  const region = project ? regionOf(project) : '';
  return ({ id }) => ({
    region,
    policy: policyOf.get(id) ?? { kind: 'off' },
    tags: tagsOf.get(id) ?? [],
  });
}

/** @throws invalid */
function readTags(text: string): readonly Tag[] {
  return text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1 || pair.includes('\0')) {
      throw new CairnError('invalid', 'tags is not a list of key=value');
    }
    return { key: pair.slice(0, at), value: pair.slice(at + 1) };
  });
}

function readFilter(projectId: ProjectId, query: ListInstancesQuery): InstanceFilter {
  const engine = engines.find((name) => engineTitles[name] === query.datastore_type);
  return {
    projectId,
    ...(query.id === undefined ? {} : { id: query.id }),
    ...(query.name === undefined ? {} : { name: query.name }),
    ...(engine === undefined ? {} : { engine }),
    ...(query.tags === undefined ? {} : { tags: readTags(query.tags) }),
  };
}
