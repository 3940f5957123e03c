// The subset of Keystone that token clients speak.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, nullable, refTo } from './define.ts';

const text = () => Type.String({ maxLength: 1024 });

const DomainReferenceSchema = Type.Object({
  id: Type.Optional(text()),
  name: Type.Optional(text()),
});

export const CreateTokenRequestSchema = named(
  'CreateTokenRequest',
  Type.Object({
    auth: Type.Object({
      identity: Type.Object({
        methods: Type.Array(text(), { minItems: 1, maxItems: 8 }),
        password: Type.Optional(
          Type.Object({
            user: Type.Object({
              id: Type.Optional(text()),
              name: Type.Optional(text()),
              password: text(),
              domain: Type.Optional(DomainReferenceSchema),
            }),
          }),
        ),
        token: Type.Optional(Type.Object({ id: text() })),
      }),
      scope: Type.Optional(
        Type.Object({
          project: Type.Optional(
            Type.Object({
              id: Type.Optional(text()),
              name: Type.Optional(text()),
              domain: Type.Optional(DomainReferenceSchema),
            }),
          ),
          domain: Type.Optional(DomainReferenceSchema),
        }),
      ),
    }),
  }),
);
export type CreateTokenRequest = Static<typeof CreateTokenRequestSchema>;

export const CatalogSchema = named(
  'ServiceCatalog',
  Type.Array(
    Type.Object({
      type: Type.String(),
      name: Type.String(),
      id: Type.String(),
      endpoints: Type.Array(
        Type.Object({
          id: Type.String(),
          interface: Type.String(),
          region: Type.String(),
          region_id: Type.String(),
          url: Type.String(),
        }),
      ),
    }),
  ),
);
export type ServiceCatalog = Static<typeof CatalogSchema>;

export const CatalogResponseSchema = named(
  'CatalogResponse',
  Type.Object({ catalog: refTo(CatalogSchema) }),
);

const DomainNameSchema = Type.Object({ id: Type.String(), name: Type.String() });

export const TokenResponseSchema = named(
  'TokenResponse',
  Type.Object({
    token: Type.Object({
      methods: Type.Array(Type.String()),
      issued_at: Type.String({ examples: ['2026-01-05T03:00:00.000000Z'] }),
      expires_at: Type.String(),
      user: Type.Object({ id: Type.String(), name: Type.String(), domain: DomainNameSchema }),
      project: Type.Optional(
        Type.Object({ id: Type.String(), name: Type.String(), domain: DomainNameSchema }),
      ),
      domain: Type.Optional(DomainNameSchema),
      roles: Type.Array(Type.Object({ id: Type.String(), name: Type.String() })),
      catalog: Type.Optional(refTo(CatalogSchema)),
    }),
  }),
);
export type TokenResponse = Static<typeof TokenResponseSchema>;

export const ProjectListSchema = named(
  'ProjectList',
  Type.Object({
    projects: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        domain_id: Type.String(),
        parent_id: Type.String(),
        is_domain: Type.Boolean(),
        enabled: Type.Boolean(),
        description: Type.String(),
        links: Type.Object({ self: Type.String() }),
      }),
    ),
    links: Type.Object({ self: Type.String() }),
  }),
);
export type ProjectListWire = Static<typeof ProjectListSchema>;

const region = () =>
  Type.Object({
    id: Type.String(),
    description: Type.String(),
    parent_region_id: nullable(Type.String()),
    links: Type.Object({ self: Type.String() }),
  });

export const RegionResponseSchema = named('RegionResponse', Type.Object({ region: region() }));
export type RegionWire = Static<typeof RegionResponseSchema>['region'];

export const RegionListSchema = named(
  'RegionList',
  Type.Object({ regions: Type.Array(region()), links: Type.Object({ self: Type.String() }) }),
);

export const DomainListSchema = named(
  'DomainList',
  Type.Object({
    domains: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        enabled: Type.Boolean(),
        description: Type.String(),
        links: Type.Object({ self: Type.String() }),
      }),
    ),
    links: Type.Object({ self: Type.String() }),
  }),
);
export type DomainListWire = Static<typeof DomainListSchema>;
