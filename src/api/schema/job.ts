import type { Static } from 'typebox';
import { Type } from 'typebox';
import { errorKinds } from '../../model/errors.ts';
import { jobStatuses } from '../../model/job.ts';
import { named, nullable, refTo, words } from './define.ts';
import { JobResultSchema } from './maintenance.ts';
import { pagingQuery } from './paging.ts';

export const ShowJobQuerySchema = Type.Object({ id: Type.String({ minLength: 1 }) });

const InstanceNameSchema = Type.Object({ id: Type.String(), name: Type.String() });

export const JobSchema = named(
  'Job',
  Type.Object({
    id: Type.String(),
    name: Type.String({ examples: ['CreateBackup'] }),
    status: words(['Running', 'Completed', 'Failed']),
    created: Type.String(),
    ended: Type.Optional(Type.String({ description: 'Absent while it runs' })),
    process: Type.String({ description: 'While it runs', examples: ['60%'] }),
    instance: InstanceNameSchema,
    entities: Type.Object(
      {
        instance: Type.Optional(
          Type.Object({
            endpoint: Type.String({ description: 'host:port; empty while it is being built' }),
            type: Type.String(),
            datastore: Type.Object({ type: Type.String(), version: Type.String() }),
          }),
        ),
        resource_ids: Type.Optional(Type.Array(Type.String())),
      },
      { description: 'Of a restore; empty for other jobs' },
    ),
    fail_reason: Type.Optional(Type.String()),
  }),
);
export type JobWire = Static<typeof JobSchema>;

export const JobResponseSchema = named('JobResponse', Type.Object({ job: refTo(JobSchema) }));

export const JobReferenceSchema = named('JobReference', Type.Object({ job_id: Type.String() }));

export const JobDetailSchema = named(
  'JobDetail',
  Type.Object({
    id: Type.String(),
    kind: Type.String({ examples: ['backup'] }),
    status: words(jobStatuses),
    instance: nullable(InstanceNameSchema),
    backup_id: nullable(Type.String()),
    attempt: Type.Integer({ description: '0 while it never ran' }),
    attempts_max: Type.Integer(),
    cancel_requested: Type.Boolean(),
    progress: nullable(
      Type.Object({
        phase: Type.String(),
        done_bytes: Type.Integer(),
        total_bytes: nullable(Type.Integer()),
        bytes_per_second: Type.Integer(),
      }),
    ),
    error: nullable(
      Type.Object({
        kind: words(errorKinds),
        message: Type.String(),
        hint: nullable(Type.String()),
      }),
    ),
    result: nullable(JobResultSchema),
    created: Type.String(),
    started: nullable(Type.String()),
    ended: nullable(Type.String()),
  }),
);
export type JobDetailWire = Static<typeof JobDetailSchema>;

export const JobDetailResponseSchema = named(
  'JobDetailResponse',
  Type.Object({ job: refTo(JobDetailSchema) }),
);
export type JobDetailResponse = Static<typeof JobDetailResponseSchema>;

export const ListJobsQuerySchema = Type.Object({
  id: Type.Optional(Type.String()),
  instance_id: Type.Optional(Type.String()),
  ...pagingQuery,
});

export const JobDetailListSchema = named(
  'JobDetailList',
  Type.Object({ jobs: Type.Array(refTo(JobDetailSchema)), total_count: Type.Integer() }),
);
export type JobDetailListWire = Static<typeof JobDetailListSchema>;
