import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, refTo } from './define.ts';

export const ManagedProjectSchema = named(
  'ManagedProject',
  Type.Object({ id: Type.String(), name: Type.String() }),
);

export const ManagedProjectListSchema = named(
  'ManagedProjectList',
  Type.Object({ projects: Type.Array(refTo(ManagedProjectSchema)) }),
);
export type ManagedProjectListWire = Static<typeof ManagedProjectListSchema>;

export const CreateProjectRequestSchema = named(
  'CreateProjectRequest',
  Type.Object({
    name: Type.String({
      pattern: '^[A-Za-z0-9_-]{1,64}$',
      description:
        '1 to 64 letters, digits, `-` and `_`; unique, taken: 409. Clients look a project up by ' +
        'it, and take what stands before the first `_` for the region',
    }),
  }),
);

export const ManagedProjectResponseSchema = named(
  'ManagedProjectResponse',
  Type.Object({ project: refTo(ManagedProjectSchema) }),
);
export type ManagedProjectResponse = Static<typeof ManagedProjectResponseSchema>;
