// Puts together what moves the master key: into this machine, and to another one.
import { openCatalog } from './catalog/open-catalog.ts';
import type { LocalActions } from './cli/program.ts';
import { createSecondStorage } from './compose-copy.ts';
import {
  findMasterKey,
  keyPath,
  makeDataDir,
  openForReading,
  ownerSetting,
  readMasterKey,
  repositorySetting,
} from './compose-ground.ts';
import type { Config } from './config/config.ts';
import { CairnError } from './model/errors.ts';
import type { Secret } from './model/secret.ts';
import type { KeyChangeParts, KeyPlace } from './operations/keys/change-master-key.ts';
import { changeMasterKey, retireMasterKey } from './operations/keys/change-master-key.ts';
import { systemClock as clock } from './platform/clock.ts';
import { silentLogger as log } from './platform/logger.ts';
import { MasterKey } from './platform/master-key.ts';
import { MasterKeyFile } from './platform/master-key-file.ts';
import { ensurePrivateFile, readFileIfPresent } from './platform/private-file.ts';
import { systemRandom as random } from './platform/random.ts';
import { openRepository } from './repository/open-repository.ts';
import { openExistingStorage } from './storage/open-storage.ts';

const openTimeoutMs = 30_000;
/** Four round trips for each data key, of which an instance has a few. */
const changeTimeoutMs = 3_600_000;

/** What `LocalActions.importMasterKey` promises. */
export async function importMasterKey(
  config: Config,
  secret: Secret,
): ReturnType<LocalActions['importMasterKey']> {
  const key = MasterKey.parse(secret.reveal());
  const signal = AbortSignal.timeout(openTimeoutMs);
  await using repository = await openForReading(config, signal, key);
  const path = keyPath(config);
  const found = { path, keyId: key.id, repositoryId: repository.id };
  const known = await readMasterKey(config);
  if (known && known.id !== key.id) {
    const ids = await repository.listMasterKeyIds(signal);
    const isFollowing = ids.includes(known.id) && ids.at(-1) === key.id;
    if (config.masterKey || !isFollowing) throw otherKey(known, config);
    await new MasterKeyFile(path, random).switchTo(key);
    return { ...found, isNew: true };
  }
  await makeDataDir(config);
  const isNew = (await readFileIfPresent(path)) === null;
  await ensurePrivateFile(path, `${key.reveal()}\n`, random);
  return { ...found, isNew };
}

function otherKey({ id }: MasterKey, config: Config): CairnError {
  return new CairnError('conflict', `there is another master key already: ${id}`, {
    hint: `look at ${keyPath(config)} and CAIRN_MASTER_KEY; nothing was changed`,
  });
}

/** What `LocalActions.changeMasterKey` promises. */
export async function changeKey(config: Config): ReturnType<LocalActions['changeMasterKey']> {
  return await withParts(config, changeMasterKey);
}

/** What `LocalActions.retireMasterKey` promises. */
export async function retireKey(
  config: Config,
  id: string,
): ReturnType<LocalActions['retireMasterKey']> {
  return await withParts(config, (parts, signal) => retireMasterKey(parts, id, signal));
}

async function withParts<T>(
  config: Config,
  work: (parts: KeyChangeParts, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.timeout(changeTimeoutMs);
  const masterKey = await findMasterKey(config);
  const source = await openExistingStorage(config.storageUrl, { clock, random, log });
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock });
  try {
    const ownerId = await catalog.settings.find(ownerSetting);
    const expectedId = await catalog.settings.find(repositorySetting);
    if (ownerId === null) throw noCatalog(config);
    await using repository = await openRepository({
      ...{ storage: source, masterKey, random, ownerId, expectedId, now: clock.now(), signal },
    });
    const repositoryId = repository.id;
    const copyMasterKeys: KeyChangeParts['copyMasterKeys'] = async (key) => {
      const ground = { config, catalog, masterKey: key, source, repositoryId, log };
      await (await createSecondStorage(ground)?.open())?.copyMasterKeys(signal);
    };
    const place = createPlace(config, masterKey);
    return await work({ place, repository, catalog, copyMasterKeys, clock }, signal);
  } finally {
    await catalog.close();
  }
}

function createPlace(config: Config, current: MasterKey): KeyPlace {
  const file = new MasterKeyFile(keyPath(config), random);
  return {
    ...{ current, isEnvironment: config.masterKey !== null, nextPath: file.nextPath },
    findNext: () => file.read(file.nextPath),
    makeNext: async () => {
      await makeDataDir(config);
      return await file.makeNext();
    },
    findRetired: (id) => file.read(file.retiredPath(id)),
    switchTo: (next) => file.switchTo(next),
    forget: (id) => file.forget(id),
  };
}

function noCatalog({ dataDir }: Config): CairnError {
  return new CairnError('not-found', `the catalog of ${dataDir} has never owned a repository`, {
    hint: 'run this where the service runs: name its data folder with --data',
  });
}
