// Runs a story in a world of its own, and makes one that fails shorter.
import type { Operation } from './operations.ts';
import { nextOperations } from './operations.ts';
import { Seeded } from './seeded.ts';
import { World } from './world.ts';

export type StoryFailure = { readonly operations: readonly Operation[]; readonly error: unknown };
export type StoryResult = { readonly count: number; readonly failure: StoryFailure | null };

/** Goes on until `isOver`, or until something fails; checks everything at the end. */
export async function runSeed(
  seed: number,
  isOver: (count: number) => boolean,
): Promise<StoryResult> {
  const seeded = new Seeded(seed);
  return await run(function* (): Generator<Operation> {
    for (let count = 0; !isOver(count); ) {
      const operations = nextOperations(seeded, count);
      yield* operations;
      count += operations.length;
    }
    yield { kind: 'check', instance: 0 };
  });
}

export async function runStory(operations: readonly Operation[]): Promise<StoryResult> {
  return await run(() => operations);
}

/**
 * Leaves out what the failure does not need, halves first, as long as there is time (delta
 * debugging: Zeller, Hildebrandt, IEEE TSE 28/2, 2002).
 */
export async function shrink(failure: StoryFailure, hasTime: () => boolean): Promise<StoryFailure> {
  let best = failure;
  for (let size = Math.ceil(best.operations.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.operations.length && hasTime(); ) {
      const operations = best.operations.toSpliced(at, size);
      const found = (await runStory(operations)).failure;
      if (found) best = found;
      else at += size;
    }
  }
  return best;
}

async function run(story: () => Iterable<Operation>): Promise<StoryResult> {
  await using world = new World();
  const operations: Operation[] = [];
  for (const operation of story()) {
    operations.push(operation);
    try {
      await world.apply(operation);
    } catch (error) {
      return { count: operations.length, failure: { operations, error } };
    }
  }
  return { count: operations.length, failure: null };
}
