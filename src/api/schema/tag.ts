import type { Static } from 'typebox';
import { Type } from 'typebox';
import { named, words } from './define.ts';

const key = Type.String({ minLength: 1, maxLength: 128, description: '1 to 128 characters' });
const value = Type.String({ maxLength: 255, description: 'At most 255 characters' });

export const TagListSchema = Type.Array(Type.Object({ key, value: Type.Optional(value) }), {
  maxItems: 20,
  description: 'An instance has at most 20 tags',
});

export const TagActionSchema = named(
  'TagAction',
  Type.Object({
    action: words(['create', 'delete']),
    tags: Type.Array(Type.Object({ key, value: Type.Optional(value) }), {
      minItems: 1,
      maxItems: 20,
      description: 'With delete, an absent value means whatever value the key has',
    }),
  }),
);
export type TagActionWire = Static<typeof TagActionSchema>;

export const InstanceTagsSchema = named(
  'InstanceTags',
  Type.Object({
    tags: Type.Array(
      Type.Object({ key: Type.String(), value: Type.String(), tag_type: words(['user']) }),
    ),
  }),
);
export type InstanceTagsWire = Static<typeof InstanceTagsSchema>;

export const ProjectTagsSchema = named(
  'ProjectTags',
  Type.Object({
    tags: Type.Array(Type.Object({ key: Type.String(), values: Type.Array(Type.String()) })),
  }),
);
