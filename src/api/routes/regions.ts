import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { listOwnProjects } from '../../operations/identity/roles.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { baseUrlOf } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import { presentRegion, regionOf } from '../present/identity.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { RegionListSchema, RegionResponseSchema } from '../schema/identity.ts';

const tags = ['identity'];

/** A region is what the projects of the caller are named after. */
export function registerRegionRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/v3/regions',
    {
      schema: {
        operationId: 'listRegions',
        tags,
        response: { 200: refTo(RegionListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const baseUrl = baseUrlOf(request, parts);
      const projects = await listOwnProjects(parts, callerOf(request).user);
      const ids = [...new Set(projects.map(regionOf))];
      const self = `${baseUrl}/v3/regions`;
      return { regions: ids.map((id) => presentRegion(id, baseUrl)), links: { self } };
    },
  );
  app.get(
    '/v3/regions/:regionId',
    {
      schema: {
        operationId: 'showRegion',
        tags,
        params: Type.Object({ regionId: Type.String() }),
        response: { 200: refTo(RegionResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { regionId } = request.params;
      const projects = await listOwnProjects(parts, callerOf(request).user);
      if (projects.some((project) => regionOf(project) === regionId)) {
        return { region: presentRegion(regionId, baseUrlOf(request, parts)) };
      }
      throw new CairnError('not-found', 'the region does not exist');
    },
  );
}
