// Which catalog may write. The marker names the first owner; each takeover adds an object
// `owners/<n>.json`, created only if absent, and the one with the highest number counts. So a Cairn
// that was thought dead is shut out: it looks again before each backup, commit and batch of
// deletions.
import { CairnError } from '../model/errors.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';

const folder = 'owners/';
const namePattern = /^owners\/(\d{6})\.json$/;

export type Ownership = {
  readonly owner: string;
  /** 0: the first owner. */
  readonly generation: number;
};

/** `firstOwner`: that of the marker. @throws repository-damaged, storage-unavailable */
export async function readOwnership(
  storage: Storage,
  firstOwner: string,
  signal: AbortSignal,
): Promise<Ownership> {
  let generation = 0;
  for await (const { name } of storage.list(folder, signal)) {
    generation = Math.max(generation, Number(namePattern.exec(name)?.[1] ?? 0));
  }
  if (generation === 0) return { owner: firstOwner, generation };
  const name = objectName(generation);
  return { owner: parseOwner(await storage.read(name, null, signal), name), generation };
}

/**
 * Makes another catalog the owner; durable when it answers. Whoever owned the repository can write
 * no more. Nothing happens when it is the owner already.
 * @throws conflict when another takes over at the same moment
 */
export async function takeOver(
  storage: Storage,
  current: Ownership,
  next: {
    readonly owner: string;
    readonly repositoryId: string;
    readonly now: Date;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { owner, repositoryId, now, signal } = next;
  if (current.owner === owner) return;
  const generation = current.generation + 1;
  const record = {
    ...{ format: 1, generation, repository_id: repositoryId, owner },
    previous_owner: current.owner,
    created_at: now.toISOString(),
  };
  const bytes = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
  if ((await storage.createExclusive(objectName(generation), bytes, signal)) === 'created') return;
  throw new CairnError('conflict', `another Cairn is taking over ${storage.location}`, {
    hint: 'decide which of the two is to own it, and stop the other',
  });
}

/** The owner that the marker of a copy names: no catalog has such an id (`copy-target.ts`). */
export function copyOwnerOf(repositoryId: string): string {
  return `copy-of-${repositoryId}`;
}

export function isCopyOwner(owner: string): boolean {
  return owner.startsWith('copy-of-');
}

export function notOurs(storage: Storage, owner: string): CairnError {
  if (isCopyOwner(owner)) {
    return new CairnError('conflict', `${storage.location} is the copy of a repository`, {
      hint: 'when the original is gone for good: cairn storage promote',
      details: { owner },
    });
  }
  return new CairnError('conflict', `${storage.location} belongs to another Cairn`, {
    hint:
      'give this Cairn a storage location of its own; two would delete each other’s backups. ' +
      'If the other one is gone for good: cairn catalog rebuild --take-over',
    details: { owner },
  });
}

function objectName(generation: number): string {
  return `${folder}${String(generation).padStart(6, '0')}.json`;
}

function parseOwner(bytes: Buffer, name: string): string {
  try {
    const record: unknown = JSON.parse(bytes.toString('utf8'));
    const owner = record && typeof record === 'object' && 'owner' in record && record.owner;
    if (typeof owner === 'string') return owner;
  } catch (cause) {
    throw damaged(name, 'it is not JSON', cause);
  }
  throw damaged(name, 'it names no owner');
}
