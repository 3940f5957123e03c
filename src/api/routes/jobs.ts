import { Type } from 'typebox';
import type { Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { jobKinds } from '../../operations/job-payloads.ts';
import { cancelJob } from '../../operations/jobs/cancel-job.ts';
import { getJob } from '../../operations/jobs/get-job.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentJob, presentJobDetail } from '../present/job.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import {
  JobDetailListSchema,
  JobDetailResponseSchema,
  JobResponseSchema,
  ListJobsQuerySchema,
  ShowJobQuerySchema,
} from '../schema/job.ts';
import { readPage } from '../schema/paging.ts';
import { requireJobId } from './path-ids.ts';

const PathSchema = Type.Object({ projectId: Type.String() });
const JobPathSchema = Type.Object({ projectId: Type.String(), jobId: Type.String() });

/** `/v3/{project}/jobs?id=` */
export function registerJobRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/jobs',
    {
      config: needs('rds:task:list'),
      schema: {
        operationId: 'showJob',
        tags: ['jobs'],
        params: PathSchema,
        querystring: ShowJobQuerySchema,
        response: { 200: refTo(JobResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireJobId(request.query.id);
      const job = await getJob(parts.catalog, projectOf(request), id);
      return { job: presentJob(job, await findTarget(parts, job)) };
    },
  );
}

const restoreKinds: readonly string[] = [jobKinds.restore, jobKinds.restoreInPlace];

async function findTarget({ catalog }: ApiParts, job: Job): Promise<Instance | null> {
  if (job.instanceId === null || !restoreKinds.includes(job.kind)) return null;
  return await catalog.instances.find(job.projectId, job.instanceId);
}

/** `/cairn/v1/{project}/jobs…` */
export function registerJobDetailRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['cairn'];
  app.get(
    '/jobs',
    {
      config: needs('rds:task:list'),
      schema: {
        operationId: 'listJobs',
        description: 'Newest first.',
        tags,
        params: PathSchema,
        querystring: ListJobsQuerySchema,
        response: { 200: refTo(JobDetailListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { query } = request;
      const filter = {
        projectId: projectOf(request),
        ...(query.id === undefined ? {} : { id: query.id }),
        ...(query.instance_id === undefined ? {} : { instanceId: query.instance_id }),
      };
      const page = await parts.catalog.jobs.list(filter, readPage(query));
      return { jobs: page.items.map(presentJobDetail), total_count: page.total };
    },
  );
  app.get(
    '/jobs/:jobId',
    {
      config: needs('rds:task:list'),
      schema: {
        operationId: 'showJobDetail',
        tags,
        params: JobPathSchema,
        response: { 200: refTo(JobDetailResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireJobId(request.params.jobId);
      return { job: presentJobDetail(await getJob(parts.catalog, projectOf(request), id)) };
    },
  );
  app.post(
    '/jobs/:jobId/cancel',
    {
      config: needs('cairn:job:cancel'),
      schema: {
        operationId: 'cancelJob',
        tags,
        params: JobPathSchema,
        response: { 200: refTo(JobDetailResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireJobId(request.params.jobId);
      return { job: presentJobDetail(await cancelJob(parts, projectOf(request), id)) };
    },
  );
}
