// What a change of the master key still has to do. A repository that two keys open is between two
// steps of one change: the older is to be retired, or the newer is not in use yet. There is never a
// third.
import { CairnError } from '../../model/errors.ts';

export type KeyChangePlan =
  /** To a key that is still to be made. */
  | { readonly kind: 'begin' }
  /** To the key that an earlier attempt has made. */
  | { readonly kind: 'go-on' }
  /** The new key is in use: only what came under the old one meanwhile is left. */
  | { readonly kind: 'complete'; readonly oldId: string };

/**
 * `nextId`: the key that an earlier attempt has put aside; null without one. `ids`: keys that open
 * the repository, oldest first. @throws conflict when that key is lost
 */
export function planKeyChange(facts: {
  readonly currentId: string;
  readonly nextId: string | null;
  readonly ids: readonly string[];
}): KeyChangePlan {
  const { currentId, nextId, ids } = facts;
  if (nextId !== null && nextId !== currentId) return { kind: 'go-on' };
  const [oldId] = ids.filter((id) => id !== currentId);
  if (oldId === undefined) return { kind: 'begin' };
  if (ids.at(-1) === currentId) return { kind: 'complete', oldId };
  const newId = ids.at(-1) ?? '';
  throw new CairnError(
    'conflict',
    `a change to master key ${newId} was begun, and it is not here`,
    {
      hint: `run the command where it was begun, or give that key up: cairn key retire ${newId}`,
    },
  );
}
