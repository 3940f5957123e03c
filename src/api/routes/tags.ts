import { Type } from 'typebox';
import { getInstance } from '../../operations/instances/get-instance.ts';
import { addTags, removeTags } from '../../operations/tags/change-tags.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { noBody } from '../schema/no-body.ts';
import { InstanceTagsSchema, ProjectTagsSchema, TagActionSchema } from '../schema/tag.ts';
import { requireInstanceId } from './path-ids.ts';

const ProjectPathSchema = Type.Object({ projectId: Type.String() });
const InstancePathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });

/** `/v3/{project}/tags` and `/v3/{project}/instances/{instance}/tags…` */
export function registerTagRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['tags'];
  app.post(
    '/instances/:instanceId/tags/action',
    {
      config: needs('rds:instance:dealTag'),
      schema: {
        operationId: 'batchTagAction',
        description:
          'create gives a key that is there the new value; more than 20 tags: 400 DBS.280001. ' +
          'delete of what is not there is no error. The answer has no body.',
        tags,
        params: InstancePathSchema,
        body: refTo(TagActionSchema),
        response: { 200: noBody, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { action, tags: given } = request.body;
      const instanceId = requireInstanceId(request.params.instanceId);
      const target = { projectId: projectOf(request), instanceId };
      if (action === 'create') {
        await addTags(
          parts,
          target,
          given.map(({ key, value = '' }) => ({ key, value })),
        );
      } else {
        await removeTags(
          parts,
          target,
          given.map(({ key, value = null }) => ({ key, value })),
        );
      }
      return await reply.code(200).send(undefined);
    },
  );
  app.get(
    '/instances/:instanceId/tags',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listInstanceTags',
        tags,
        params: InstancePathSchema,
        response: { 200: refTo(InstanceTagsSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      await getInstance(parts.catalog, projectOf(request), id);
      const found = await parts.catalog.tags.list([id]);
      return { tags: found.map(({ key, value }) => ({ key, value, tag_type: 'user' as const })) };
    },
  );
  app.get(
    '/tags',
    {
      config: needs('rds:tag:list'),
      schema: {
        operationId: 'listProjectTags',
        tags,
        params: ProjectPathSchema,
        response: { 200: refTo(ProjectTagsSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const found = await parts.catalog.tags.listOfProject(projectOf(request));
      const byKey = Map.groupBy(found, ({ key }) => key);
      return {
        tags: [...byKey].map(([key, pairs]) => ({ key, values: pairs.map(({ value }) => value) })),
      };
    },
  );
}
