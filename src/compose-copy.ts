// Puts together what copies the repository to a second storage: of a service, and on the command
// line.
import type { Catalog } from './catalog/catalog.ts';
import type { CopyRequest, CopyResult } from './cli/program.ts';
import { findMasterKey } from './compose-ground.ts';
import type { Config } from './config/config.ts';
import { CairnError } from './model/errors.ts';
import { copyStorage } from './operations/offsite/copy-storage.ts';
import type { SecondStorage } from './operations/parts.ts';
import { systemClock as clock } from './platform/clock.ts';
import { deadlineSignal } from './platform/deadline.ts';
import type { Logger } from './platform/logger.ts';
import { silentLogger } from './platform/logger.ts';
import type { MasterKey } from './platform/master-key.ts';
import { systemRandom as random } from './platform/random.ts';
import { identifyRepository, openCopy } from './repository/copy-repository.ts';
import { readMarker } from './repository/open-repository.ts';
import { isCopyOwner } from './repository/ownership.ts';
import type { RepositoryCopy } from './repository/repository.ts';
import { openExistingStorage, openStorage } from './storage/open-storage.ts';
import type { Storage } from './storage/storage.ts';
import { parseStorageUrl } from './storage/storage-url.ts';

const findTimeoutMs = 60_000;
const quietly = { clock, random, log: silentLogger };

type ServiceGround = {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly masterKey: MasterKey;
  readonly source: Storage;
  readonly repositoryId: string;
  readonly log: Logger;
};

/** Null: none is configured. @throws invalid when its address is none */
export function createSecondStorage(ground: ServiceGround): SecondStorage | null {
  const { config, catalog, masterKey, source, repositoryId, log } = ground;
  if (!config.offsite) return null;
  const { url, region } = config.offsite;
  parseStorageUrl(url);
  let opened: RepositoryCopy | null = null;
  return {
    region,
    open: async () => {
      if (opened) return opened;
      const target = await openStorage(url, { clock, random, log });
      const key = `copy.${target.location}`;
      opened = openCopy({
        ...{ source, target, masterKey, clock, random },
        identity: await identifyRepository(source, masterKey, deadlineSignal(findTimeoutMs)),
        memory: {
          isKnown: async () => (await catalog.settings.find(key)) === repositoryId,
          remember: async () => void (await catalog.settings.ensure(key, repositoryId)),
        },
      });
      return opened;
    },
  };
}

/** What `LocalActions.copyBackups` promises. */
export async function copyBackups(config: Config, request: CopyRequest): Promise<CopyResult> {
  const masterKey = await findMasterKey(config);
  const source = await openExistingStorage(request.from ?? config.storageUrl, quietly);
  const identity = await identifyRepository(source, masterKey, request.signal);
  const open = request.verify ? openExistingStorage : openStorage;
  const target = await open(request.to, quietly);
  // A store that lacks something is told of before the first byte.
  if (!request.verify) await target.examine?.(request.signal);
  const copy = openCopy({
    ...{ source, target, identity, masterKey, clock, random },
    // Whoever names the place by hand may begin a copy there.
    memory: { isKnown: async () => false, remember: async () => undefined },
  });
  return await copyStorage(copy, { ...request, location: source.location });
}

/** What `LocalActions.findOffsite` promises; reads the copy with the key alone. */
export async function findOffsite(
  config: Config,
): Promise<{ readonly location: string; readonly newest: Date | null } | null> {
  if (!config.offsite) return null;
  const masterKey = await findMasterKey(config);
  const signal = AbortSignal.timeout(findTimeoutMs);
  const target = await openExistingStorage(config.offsite.url, quietly);
  const identity = await identifyRepository(target, masterKey, signal);
  const source = await openExistingStorage(config.storageUrl, quietly);
  const copy = openCopy({
    ...{ source, target, identity, masterKey, clock, random },
    memory: { isKnown: async () => true, remember: async () => undefined },
  });
  const [newest] = await copy.listCopies(null, signal);
  return { location: copy.location, newest: newest?.facts.backup.endedAt ?? null };
}

/** @throws conflict when the storage holds no copy, or one that was promoted before */
export async function assertIsCopy(storage: Storage, signal: AbortSignal): Promise<void> {
  const marker = await readMarker(storage, signal);
  if (marker && isCopyOwner(marker.owner)) return;
  throw new CairnError('conflict', `${storage.location} is no copy: there is nothing to promote`, {
    hint: 'set CAIRN_STORAGE to the address of the copy',
  });
}
