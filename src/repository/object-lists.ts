// The objects that a backup refers to, in the order in which its manifest lists them: parts of file
// maps name them by their place in the lists.
import { assert } from '../model/assert.ts';
import type { PartReference } from './manifest.ts';
import type { PriorPart } from './prior-files.ts';

export class ObjectLists {
  readonly #packs = new Map<string, number>();
  readonly #maps = new Map<string, number>();

  get packNames(): readonly string[] {
    return [...this.#packs.keys()];
  }

  get mapNames(): readonly string[] {
    return [...this.#maps.keys()];
  }

  /** A part that lies in a map object of its own backup. */
  refer(
    map: { readonly name: string; readonly frame: number },
    packNames: readonly string[],
  ): PartReference {
    const packs = packNames.map((name) => indexOf(this.#packs, name));
    return { map: indexOf(this.#maps, map.name), frame: map.frame, packs };
  }

  /** A part that was stored before, as it stands. */
  share({ reference, header }: PriorPart): PartReference {
    const map = header.maps[reference.map];
    assert(map, 'the previous manifest has no such map object');
    const packNames = reference.packs.map((pack) => {
      const object = header.packs[pack];
      assert(object, 'the previous manifest has no such pack');
      return object.name;
    });
    return this.refer({ name: map.name, frame: reference.frame }, packNames);
  }
}

function indexOf(index: Map<string, number>, name: string): number {
  const known = index.get(name);
  if (known !== undefined) return known;
  index.set(name, index.size);
  return index.size - 1;
}
