// What this build offers: engines, the one flavour and the one storage type that instances show,
// and how many instances there may be.
import { Type } from 'typebox';
import { named } from './define.ts';

export const VersionNameQuerySchema = Type.Object({
  version_name: Type.Optional(Type.String({ description: 'As datastores names it' })),
  spec_code: Type.Optional(Type.String()),
});

const zoneStates = Type.Record(Type.String(), Type.String());

export const DatastoreListSchema = named(
  'DatastoreList',
  Type.Object({ dataStores: Type.Array(Type.Object({ id: Type.String(), name: Type.String() })) }),
);

export const FlavorListSchema = named(
  'FlavorList',
  Type.Object({
    flavors: Type.Array(
      Type.Object({
        id: Type.String(),
        vcpus: Type.String({ description: '0: whatever the machine has' }),
        ram: Type.Integer({ description: 'GB; 0: whatever the machine has' }),
        spec_code: Type.String(),
        instance_mode: Type.String(),
        az_status: zoneStates,
        az_desc: zoneStates,
        version_name: Type.Array(Type.String()),
        group_type: Type.String(),
      }),
    ),
  }),
);

export const StorageTypeListSchema = named(
  'StorageTypeList',
  Type.Object({
    storage_type: Type.Array(
      Type.Object({
        name: Type.String(),
        az_status: zoneStates,
        support_compute_group_type: Type.Array(Type.String()),
      }),
    ),
    dsspool_info: Type.Array(Type.Object({}, { additionalProperties: true })),
  }),
);

export const QuotaListSchema = named(
  'QuotaList',
  Type.Object({
    quotas: Type.Object({
      resources: Type.Array(
        Type.Object({
          type: Type.String(),
          quota: Type.Integer({ description: '2147483647: no limit is set' }),
          used: Type.Integer(),
        }),
      ),
    }),
  }),
);
