import { rm } from 'node:fs/promises';
import type { EngineDriver } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';

/**
 * Stops the server in a folder that Cairn made for it, if one runs, and removes the folder with its
 * data. Harmless when there is nothing. @throws storage-unavailable when the folder cannot be
 * removed
 */
export async function removeServer(
  driver: EngineDriver,
  homeDir: string,
  signal: AbortSignal,
): Promise<void> {
  await driver.stopManaged({ homeDir, dataDir: `${homeDir}/data`, binDir: '' }, signal);
  try {
    await rm(homeDir, { recursive: true, force: true });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CairnError('storage-unavailable', `cannot remove ${homeDir}: ${text}`, { cause });
  }
}
