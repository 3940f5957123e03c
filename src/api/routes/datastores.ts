// What a client may choose from: engines and versions of this build, and what instances show as
// their flavour and disk. Any login may ask.
import { Type } from 'typebox';
import { offeredVersions, requireOffered } from '../../operations/instances/offered-engines.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { cloudFields, zone } from '../present/instance.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import {
  DatastoreListSchema,
  FlavorListSchema,
  QuotaListSchema,
  StorageTypeListSchema,
  VersionNameQuerySchema,
} from '../schema/offer.ts';

const EnginePathSchema = Type.Object({ projectId: Type.String(), engine: Type.String() });
const description = 'The engine in any case of letters; another one: 400 DBS.280235.';
const zones = { [zone]: 'normal' } as const;
/** Fits the 32 bits that clients read a quota into. */
const unlimitedQuota = 2_147_483_647;

export function registerDatastoreRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['offer'];
  app.get(
    '/datastores/:engine',
    {
      config: needs('login'),
      schema: {
        ...{ operationId: 'listDatastores', description, tags },
        params: EnginePathSchema,
        response: { 200: refTo(DatastoreListSchema), ...errorAnswers },
      },
    },
    async ({ params }) => {
      const engine = requireOffered(parts.engines, params.engine);
      const versions = offeredVersions(engine, undefined);
      return { dataStores: versions.map((name) => ({ id: `${engine}-${name}`, name })) };
    },
  );
  app.get(
    '/flavors/:engine',
    {
      config: needs('login'),
      schema: {
        ...{ operationId: 'listFlavors', description, tags },
        params: EnginePathSchema,
        querystring: VersionNameQuerySchema,
        response: { 200: refTo(FlavorListSchema), ...errorAnswers },
      },
    },
    async ({ params, query }) => {
      const engine = requireOffered(parts.engines, params.engine);
      const versions = offeredVersions(engine, query.version_name);
      const code = cloudFields.flavor_ref;
      if (versions.length === 0 || (query.spec_code ?? code) !== code) return { flavors: [] };
      const flavor = {
        ...{ id: code, vcpus: '0', ram: 0, spec_code: code, instance_mode: 'single' },
        ...{ az_status: zones, az_desc: { [zone]: zone }, group_type: '' },
        version_name: [...versions],
      };
      return { flavors: [flavor] };
    },
  );
  app.get(
    '/storage-type/:engine',
    {
      config: needs('login'),
      schema: {
        ...{ operationId: 'listStorageTypes', description, tags },
        params: EnginePathSchema,
        querystring: VersionNameQuerySchema,
        response: { 200: refTo(StorageTypeListSchema), ...errorAnswers },
      },
    },
    async ({ params, query }) => {
      const engine = requireOffered(parts.engines, params.engine);
      const { type: name } = cloudFields.volume;
      const type = { name, az_status: zones, support_compute_group_type: [] };
      const has = offeredVersions(engine, query.version_name).length > 0;
      return { storage_type: has ? [type] : [], dsspool_info: [] };
    },
  );
  registerQuotaRoute(app, parts);
}

function registerQuotaRoute(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/quotas',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'showQuotas',
        tags: ['offer'],
        params: Type.Object({ projectId: Type.String() }),
        response: { 200: refTo(QuotaListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const used = await parts.catalog.instances.count(projectOf(request));
      const quota = parts.instanceQuota ?? unlimitedQuota;
      return { quotas: { resources: [{ type: 'instance', quota, used }] } };
    },
  );
}
