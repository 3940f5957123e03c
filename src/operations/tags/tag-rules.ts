import type { Tag } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';

export const tagsMax = 20;
export const tagKeyCharactersMax = 128;
export const tagValueCharactersMax = 255;

/** Characters are code points. @throws invalid */
export function assertTagsWellFormed(tags: readonly { key: string; value: string | null }[]): void {
  const keys = new Set(tags.map(({ key }) => key));
  if (keys.size < tags.length) throw new CairnError('invalid', 'a tag key is given twice');
  for (const { key, value } of tags) {
    if (key.trim() === '' || [...key].length > tagKeyCharactersMax) {
      throw new CairnError('invalid', `a tag key has 1 to ${tagKeyCharactersMax} characters`);
    }
    if ([...(value ?? '')].length > tagValueCharactersMax) {
      const text = `a tag value has at most ${tagValueCharactersMax} characters`;
      throw new CairnError('invalid', text);
    }
    // PostgreSQL stores no zero character, and a reader sees none.
    if (`${key}${value ?? ''}`.includes('\0')) {
      throw new CairnError('invalid', 'a tag holds a zero character');
    }
  }
}

/** @throws invalid when the instance would have more than it may */
export function assertTagCount(tags: readonly Pick<Tag, 'key'>[]): void {
  const count = new Set(tags.map(({ key }) => key)).size;
  if (count <= tagsMax) return;
  throw new CairnError('invalid', `the instance would have ${count} tags`, {
    reason: 'too-many-tags',
  });
}
