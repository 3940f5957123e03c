// "Does not exist" is an answer; every other failure of the storage is thrown (rule 15).
import { isErrorKind } from '../model/errors.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';

export type ObjectReference = {
  readonly name: string;
  readonly size: number;
  /** Of a pack: raw bytes of its frames, where known. */
  readonly raw?: number;
  /** Of a pack: how many of them the backup refers to, where known. */
  readonly live?: number;
};

/**
 * Looks that every object is there with its size: one listing per backup folder, not one request
 * per object.
 * @throws repository-damaged naming the first that is not
 */
export async function assertPresent(
  storage: Storage,
  objects: readonly ObjectReference[],
  signal: AbortSignal,
): Promise<void> {
  const folders = new Set(objects.map(({ name }) => `${name.split('/').slice(0, 4).join('/')}/`));
  const sizes = new Map<string, number>();
  for (const folder of folders) {
    for await (const found of storage.list(folder, signal)) sizes.set(found.name, found.sizeBytes);
  }
  for (const { name, size } of objects) {
    const found = sizes.get(name);
    if (found === undefined) throw damaged(name, 'it is missing');
    if (found !== size) throw damaged(name, `it has ${found} bytes instead of ${size}`);
  }
}

export async function isPresent(
  storage: Storage,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  return (await statIfPresent(storage, name, signal)) !== null;
}

/** Null when there is none. */
export async function statIfPresent(
  storage: Storage,
  name: string,
  signal: AbortSignal,
): Promise<ObjectInfo | null> {
  return await nullIfMissing(storage.stat(name, signal));
}

/** The whole object, or null when there is none. */
export async function readIfPresent(
  storage: Storage,
  name: string,
  signal: AbortSignal,
): Promise<Buffer | null> {
  return await nullIfMissing(storage.read(name, null, signal));
}

async function nullIfMissing<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (isErrorKind(error, 'not-found')) return null;
    throw error;
  }
}
