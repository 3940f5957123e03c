import { rm } from 'node:fs/promises';
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';

/**
 * Stops the server in a folder that Cairn made for it, if one runs, and removes the folder with its
 * data. Harmless when there is nothing. The lease is looked at before either: another attempt may
 * have a server in the folder by now. @throws conflict when the lease is lost; storage-unavailable
 * when the folder cannot be removed
 */
export async function removeServer(
  driver: EngineDriver,
  homeDir: string,
  { assertLease, signal }: Pick<JobContext, 'assertLease' | 'signal'>,
): Promise<void> {
  await assertLease();
  await driver.stopManaged({ homeDir, dataDir: `${homeDir}/data`, binDir: '' }, signal);
  // Stopping may have taken longer than a lease.
  await assertLease();
  try {
    await rm(homeDir, { recursive: true, force: true });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CairnError('storage-unavailable', `cannot remove ${homeDir}: ${text}`, { cause });
  }
}
