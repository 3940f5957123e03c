// From an address to a storage: the only place where the kind makes a difference.
import { access } from 'node:fs/promises';
import { assertNever } from '../model/assert.ts';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';
import { LocalStorage } from './local.ts';
import type { Patience } from './s3-retry.ts';
import type { Storage } from './storage.ts';
import { parseStorageUrl } from './storage-url.ts';

const missingHint =
  'check CAIRN_STORAGE; without it, storage is the folder repository in the data folder';

export type StorageParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** For remote storage; by default that of a service. */
  readonly patience?: Patience;
};

/**
 * Opens the storage that the address names. A folder is made when it is missing; a bucket is not
 * even asked for. @throws invalid, storage-unavailable
 */
export async function openStorage(url: string, parts: StorageParts): Promise<Storage> {
  const address = parseStorageUrl(url);
  switch (address.kind) {
    case 'local':
      return await LocalStorage.open(address.folder, parts.random);
    case 's3': {
      // Loaded on demand: the SDK takes longer to load than all the rest.
      const { S3Storage } = await import('./s3.ts');
      const { S3Past } = await import('./s3-past.ts');
      const storage = await S3Storage.open(address, parts);
      return address.at === null ? storage : new S3Past(storage.requests, address.at);
    }
    default:
      return assertNever(address);
  }
}

/** For what only reads: a folder that is not there must not be made. @throws not-found, invalid */
export async function openExistingStorage(url: string, parts: StorageParts): Promise<Storage> {
  const address = parseStorageUrl(url);
  if (address.kind === 'local') {
    await access(address.folder).catch((cause: NodeJS.ErrnoException) => {
      throw new CairnError('not-found', `there is no storage in ${url}: ${cause.code}`, {
        hint: missingHint,
        cause,
      });
    });
  }
  return await openStorage(url, parts);
}
