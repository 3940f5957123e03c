import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, refTo } from './define.ts';

export const VersionSchema = named(
  'ApiVersion',
  Type.Object({
    id: Type.String({ examples: ['v3'] }),
    status: Type.String({ examples: ['CURRENT'] }),
    updated: Type.String(),
    links: Type.Array(Type.Object({ rel: Type.String(), href: Type.String() })),
  }),
);
export type VersionWire = Static<typeof VersionSchema>;

export const VersionListSchema = named(
  'ApiVersionList',
  Type.Object({ versions: Type.Array(refTo(VersionSchema)) }),
);

/** Keystone's form: clients follow the link. */
export const VersionResponseSchema = named(
  'ApiVersionResponse',
  Type.Object({
    version: Type.Object({
      id: Type.String({ examples: ['v3'] }),
      status: Type.String({ examples: ['CURRENT'] }),
      updated: Type.String(),
      links: Type.Array(Type.Object({ rel: Type.String(), href: Type.String() })),
      'media-types': Type.Array(Type.Object({ base: Type.String(), type: Type.String() })),
    }),
  }),
);

/** The RDS form: the same object twice. */
export const RdsVersionResponseSchema = named(
  'RdsVersionResponse',
  Type.Object({ version: refTo(VersionSchema), versions: refTo(VersionSchema) }),
);

export const HealthSchema = named('Health', Type.Object({ status: Type.String() }));
