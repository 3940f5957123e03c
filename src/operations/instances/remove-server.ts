import { rm } from 'node:fs/promises';
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';

type Hold = Pick<JobContext, 'assertLease' | 'signal'>;

/**
 * Stops the server in a folder that Cairn made for it, if one runs, so that what is in there can be
 * removed. Harmless when there is nothing. The lease is looked at before either: another attempt
 * may have a server in the folder by now. @throws conflict when the lease is lost
 */
export async function stopServer(
  driver: EngineDriver,
  homeDir: string,
  { assertLease, signal }: Hold,
): Promise<void> {
  await assertLease();
  await driver.stopManaged({ homeDir, dataDir: `${homeDir}/data`, binDir: '' }, signal);
  // Stopping may have taken longer than a lease.
  await assertLease();
}

/**
 * The same, and removes the folder with its data. @throws conflict when the lease is lost;
 * storage-unavailable when the folder cannot be removed
 */
export async function removeServer(
  driver: EngineDriver,
  homeDir: string,
  hold: Hold,
): Promise<void> {
  await stopServer(driver, homeDir, hold);
  try {
    await rm(homeDir, { recursive: true, force: true });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CairnError('storage-unavailable', `cannot remove ${homeDir}: ${text}`, { cause });
  }
}
