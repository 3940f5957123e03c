// The data folder and the master key in it, as every program of this machine finds them, and the
// repository that the key opens.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from './config/config.ts';
import { CairnError } from './model/errors.ts';
import { systemClock as clock } from './platform/clock.ts';
import { silentLogger as log } from './platform/logger.ts';
import { MasterKey } from './platform/master-key.ts';
import { ensurePrivateFile, readFileIfPresent } from './platform/private-file.ts';
import { systemRandom as random } from './platform/random.ts';
import { openRepository } from './repository/open-repository.ts';
import type { Repository } from './repository/repository.ts';
import { openExistingStorage } from './storage/open-storage.ts';

/** Who the catalog is to the repository, and which repository it has. */
export const ownerSetting = 'catalog.id';
export const repositorySetting = 'repository.id';

/**
 * Servers that a restore starts run as another user when we are root, so the folders above theirs
 * can be passed through (but not listed); what is private inside is private by its own mode.
 */
export async function makeDataDir({ dataDir, serversDir }: Config): Promise<void> {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  await mkdir(dataDir, { recursive: true, mode });
  await mkdir(serversDir, { recursive: true, mode });
}

export const keyPath = ({ dataDir }: Config): string => join(dataDir, 'master.key');

export async function ensureMasterKey(config: Config): Promise<MasterKey> {
  const found = await readMasterKey(config);
  if (found) return found;
  const made = `${MasterKey.generate().reveal()}\n`;
  return MasterKey.parse(await ensurePrivateFile(keyPath(config), made, random));
}

/** @throws not-found: a restore must never make a key of its own */
export async function findMasterKey(config: Config): Promise<MasterKey> {
  const found = await readMasterKey(config);
  if (found) return found;
  throw new CairnError('not-found', `there is no master key in ${keyPath(config)}`, {
    hint: 'name the data folder with --data, or set CAIRN_MASTER_KEY to that of the recovery kit',
  });
}

export async function readMasterKey(config: Config): Promise<MasterKey | null> {
  const text = config.masterKey?.reveal() ?? (await readFileIfPresent(keyPath(config)));
  return text === null ? null : MasterKey.parse(text);
}

/** With the key alone; never makes anything. @throws not-found, invalid for another key */
export async function openForReading(
  config: Config,
  signal: AbortSignal,
  key?: MasterKey,
): Promise<Repository> {
  const masterKey = key ?? (await findMasterKey(config));
  const storage = await openExistingStorage(config.storageUrl, { clock, random, log });
  return await openRepository({
    ...{ storage, masterKey, random, ownerId: null, expectedId: null },
    ...{ now: clock.now(), signal },
  });
}
