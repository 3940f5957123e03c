import { Type } from 'typebox';
import type { JobFilter } from '../../catalog/catalog.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { parseInstanceId, parseJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { jobKinds } from '../../operations/job-payloads.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { jobNames, kindOfName, presentTask, statusesOf } from '../present/job.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { pagingQuery } from '../schema/paging.ts';
import type { TaskListQuery } from '../schema/task-list.ts';
import {
  ScheduledTaskListSchema,
  TaskListQuerySchema,
  TaskListSchema,
} from '../schema/task-list.ts';

const PathSchema = Type.Object({ projectId: Type.String() });
const limitDefault = 10;
const exceptKinds = [jobKinds.archiveLog];

export function registerTaskListRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['jobs'];
  app.get(
    '/tasklist',
    {
      config: needs('rds:task:list'),
      schema: {
        operationId: 'listTasks',
        description: 'Newest first. Tasks that ended more than a month ago are forgotten.',
        tags,
        params: PathSchema,
        querystring: TaskListQuerySchema,
        response: { 200: refTo(TaskListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { query } = request;
      const actions = Object.values(jobNames);
      const filter = readFilter(projectOf(request), query);
      if (!filter) return { total_count: 0, tasks: [], actions };
      const { offset = 0, limit = limitDefault } = query;
      const page = await parts.catalog.jobs.list(filter, { offset, limit });
      const ids = page.items.flatMap(({ instanceId }) => (instanceId === null ? [] : [instanceId]));
      const instances = await readInstances(parts, filter.projectId, ids);
      const tasks = page.items.map((job) =>
        presentTask(job, job.instanceId === null ? null : (instances.get(job.instanceId) ?? null)),
      );
      return { total_count: page.total, tasks, actions };
    },
  );
  app.get(
    '/schedule-tasks',
    {
      config: needs('rds:task:list'),
      schema: {
        operationId: 'listScheduledTasks',
        tags,
        params: PathSchema,
        querystring: Type.Object(pagingQuery),
        response: { 200: refTo(ScheduledTaskListSchema), ...errorAnswers },
      },
    },
    async () => ({ schedule_tasks: [], total_count: 0 }),
  );
}

/** Null: nothing can match. */
function readFilter(projectId: ProjectId, query: TaskListQuery): JobFilter | null {
  const { id, instance_id: instanceId, name, status, start_time: from, end_time: to } = query;
  const kind = name === undefined ? undefined : kindOfName(name);
  const isId = (id === undefined || parseJobId(id)) && (!instanceId || parseInstanceId(instanceId));
  if (query.order_id || kind === null || !isId) return null;
  return {
    projectId,
    ...(id === undefined ? {} : { id }),
    ...(instanceId === undefined ? {} : { instanceId }),
    // Standing by all day is no task that anybody waits for; whoever names it finds it.
    ...(kind === undefined ? (id === undefined ? { exceptKinds } : {}) : { kind }),
    ...(status === undefined ? {} : { statuses: statusesOf(status) }),
    ...(from === undefined ? {} : { createdFrom: new Date(from) }),
    ...(to === undefined ? {} : { createdTo: new Date(to) }),
  };
}

async function readInstances(
  { catalog }: Pick<ApiParts, 'catalog'>,
  projectId: ProjectId,
  ids: readonly InstanceId[],
): Promise<ReadonlyMap<InstanceId, Instance>> {
  const filter = { projectId, ids: [...new Set(ids)] };
  if (filter.ids.length === 0) return new Map();
  const page = await catalog.instances.list(filter, { offset: 0, limit: filter.ids.length });
  return new Map(page.items.map((instance) => [instance.id, instance]));
}
