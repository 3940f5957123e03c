// The same jobs as `/jobs`, as a list with filters.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, refTo, words } from './define.ts';
import { pagingQuery } from './paging.ts';

const timeMs = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 253_402_300_799_000, description }));

export const TaskListQuerySchema = Type.Object({
  offset: pagingQuery.offset,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 50, default: 10 })),
  id: Type.Optional(Type.String()),
  instance_id: Type.Optional(Type.String()),
  order_id: Type.Optional(Type.String({ description: 'No task has one: matches nothing' })),
  name: Type.Optional(Type.String({ description: 'One of actions' })),
  status: Type.Optional(words(['Running', 'Completed', 'Failed'])),
  start_time: timeMs('Epoch ms: tasks asked for then or later'),
  end_time: timeMs('Epoch ms: tasks asked for then or earlier'),
});
export type TaskListQuery = Static<typeof TaskListQuerySchema>;

export const TaskSchema = named(
  'Task',
  Type.Object({
    id: Type.String(),
    name: Type.String(),
    instance_id: Type.String(),
    instance_name: Type.String(),
    instance_status: Type.String({ description: 'Empty when the instance is gone' }),
    order_id: Type.String(),
    process: Type.String(),
    fail_reason: Type.String(),
    create_time: Type.String(),
    end_time: Type.String({ description: 'Empty while it runs' }),
    status: words(['Running', 'Completed', 'Failed']),
  }),
);
export type TaskWire = Static<typeof TaskSchema>;

export const TaskListSchema = named(
  'TaskList',
  Type.Object({
    total_count: Type.Integer(),
    tasks: Type.Array(refTo(TaskSchema)),
    actions: Type.Array(Type.String(), { description: 'The names that tasks can have' }),
  }),
);

export const ScheduledTaskListSchema = named(
  'ScheduledTaskList',
  Type.Object({
    schedule_tasks: Type.Array(Type.Object({}, { additionalProperties: true }), {
      description: 'Cairn does what it is asked at once: nothing is ever scheduled',
    }),
    total_count: Type.Integer(),
  }),
);
