// Puts together what looks after the storage from the command line, without a service.
import type { LocalActions } from './cli/program.ts';
import { openForReading } from './compose-ground.ts';
import type { Config } from './config/config.ts';
import type { Diagnosis } from './model/diagnosis.ts';
import { CairnError } from './model/errors.ts';
import { lockStorage } from './operations/lock/lock-storage.ts';
import { systemClock as clock } from './platform/clock.ts';
import { silentLogger as log } from './platform/logger.ts';
import { systemRandom as random } from './platform/random.ts';
import { openExistingStorage, openStorage } from './storage/open-storage.ts';
import { usualPatience } from './storage/s3-retry.ts';
import type { Storage } from './storage/storage.ts';
import { tryStorage } from './storage/storage-check.ts';
import { parseStorageUrl } from './storage/storage-url.ts';

const checkTimeoutMs = 180_000;
const linkTimeoutMs = 60_000;
/** Somebody waits for the answer. */
const impatience = { ...usualPatience, attemptMs: 10_000, operationMs: 10_000 };
const hastily = { clock, random, log, patience: impatience };

/** What `LocalActions.examineStorage` promises. */
export async function examineStorage(url: string): Promise<readonly Diagnosis[]> {
  parseStorageUrl(url);
  const open = (): Promise<Storage> => openStorage(url, hastily);
  return await tryStorage({ open, clock, random, signal: AbortSignal.timeout(checkTimeoutMs) });
}

/** What `LocalActions.lockBackups` promises. */
export async function lockBackups(
  config: Config,
  signal: AbortSignal,
): ReturnType<LocalActions['lockBackups']> {
  await using repository = await openForReading(config, signal);
  return await lockStorage(repository, signal);
}

/** What `LocalActions.presignObject` promises. */
export async function presignObject(
  url: string,
  object: { readonly name: string; readonly lifetimeMs: number },
): Promise<string> {
  const storage = await openExistingStorage(url, hastily);
  const signal = AbortSignal.timeout(linkTimeoutMs);
  const link = await storage.presignedDownload?.(object.name, object.lifetimeMs, signal);
  if (link !== undefined) return link;
  throw new CairnError('invalid', `${storage.location} makes no links: only object stores do`, {
    hint: 'read the file where it lies',
  });
}
