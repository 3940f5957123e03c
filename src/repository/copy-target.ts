// What makes a folder or bucket the copy of a repository: a marker with the same repository id and
// first master key, whose owner is no catalog. So every reader takes it for the repository, and no
// service writes to it: it belongs to another. A takeover (`ownership.ts`) promotes it; from then
// on nobody copies into it.
import { CairnError } from '../model/errors.ts';
import type { Storage } from '../storage/storage.ts';
import { repositoryObject } from './format.ts';
import { masterKeysFolder } from './master-key-ids.ts';
import type { Marker } from './open-repository.ts';
import { readMarker } from './open-repository.ts';
import { copyOwnerOf } from './ownership.ts';

export type CopyIdentity = Pick<Marker, 'repositoryId' | 'masterKeyId'>;

/** Whoever copies again and again remembers that there is a copy: a volume may not be mounted. */
export type CopyMemory = {
  /** Whether a copy was begun there: then a target without it is not the one. */
  readonly isKnown: () => Promise<boolean>;
  readonly remember: () => Promise<void>;
};

type MakeOptions = CopyIdentity & {
  readonly now: Date;
  /** False: it was there before, so a storage without it is not the one. */
  readonly mayBeMade: boolean;
  readonly signal: AbortSignal;
};

/**
 * Makes sure that the target is the copy of this repository; an empty one becomes it.
 * @throws conflict when it holds something else, was promoted, or is the repository itself;
 *   storage-unavailable when it should be there and is not
 */
export async function ensureCopy(target: Storage, options: MakeOptions): Promise<void> {
  const { repositoryId, masterKeyId, now, signal } = options;
  if (!(await readMarker(target, signal))) {
    if (!options.mayBeMade) throw copyGone(target, repositoryId);
    await assertEmpty(target, signal);
    const record = {
      format: 1,
      ...{ repository_id: repositoryId, owner: copyOwnerOf(repositoryId) },
      ...{ master_key_id: masterKeyId, created_at: now.toISOString() },
    };
    const bytes = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
    await target.createExclusive(repositoryObject, bytes, signal);
  }
  await assertCopy(target, options, signal);
}

/**
 * Whether the target is the copy of this repository now: a volume may have gone, and a copy may
 * have been promoted. @throws conflict, storage-unavailable, repository-damaged
 */
export async function assertCopy(
  target: Storage,
  { repositoryId, masterKeyId }: CopyIdentity,
  signal: AbortSignal,
): Promise<void> {
  const marker = await readMarker(target, signal);
  if (!marker) throw copyGone(target, repositoryId);
  const { location } = target;
  if (marker.repositoryId !== repositoryId) {
    const text = `${location} holds repository ${marker.repositoryId}, not ${repositoryId}`;
    throw new CairnError('conflict', text, {
      hint: 'each repository needs a place of its own for its copy',
    });
  }
  if (marker.owner !== copyOwnerOf(repositoryId)) {
    const text =
      marker.generation > 0
        ? `the copy in ${location} was promoted: a Cairn makes backups there`
        : `${location} is the repository itself, not a copy of it`;
    throw new CairnError('conflict', text, { hint: 'name another place for the copy' });
  }
  if (marker.masterKeyId !== masterKeyId) {
    throw new CairnError('conflict', `the copy in ${location} needs another master key`, {
      hint: `it was begun with key ${marker.masterKeyId}: begin a new copy elsewhere`,
    });
  }
}

async function assertEmpty(target: Storage, signal: AbortSignal): Promise<void> {
  for (const prefix of ['instances/', 'keys/', 'owners/', masterKeysFolder]) {
    for await (const { name } of target.list(prefix, signal)) {
      const text = `${target.location} holds ${name}, but no ${repositoryObject}`;
      throw new CairnError('conflict', text, {
        hint: 'name an empty folder or prefix, or put its repository.json back',
      });
    }
  }
}

function copyGone({ location }: Storage, repositoryId: string): CairnError {
  const text = `${location} does not hold the copy of repository ${repositoryId}`;
  return new CairnError('storage-unavailable', text, {
    hint: 'look whether its volume is mounted; nothing was written to what is there instead',
  });
}
