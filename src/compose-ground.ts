// The data folder and the master key in it, as every program of this machine finds them.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from './config/config.ts';
import { CairnError } from './model/errors.ts';
import { MasterKey } from './platform/master-key.ts';
import { ensurePrivateFile, readFileIfPresent } from './platform/private-file.ts';
import { systemRandom as random } from './platform/random.ts';

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
