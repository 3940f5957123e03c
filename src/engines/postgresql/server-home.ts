// What belongs to PostgreSQL in the folder that a restored server lives in.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from '../../platform/child-process.ts';
import { giveAll } from '../../platform/server-folder.ts';
import { hbaText, identText } from './server-config.ts';

export const socketNameOf = (port: number): string => `.s.PGSQL.${port}`;

/**
 * Gives the restored files to the server's user and removes what would make it follow another
 * server.
 */
export async function settleFiles(
  homeDir: string,
  dataDir: string,
  identity: Identity | null,
): Promise<void> {
  for (const name of ['postmaster.pid', 'postmaster.opts', 'standby.signal', 'recovery.signal']) {
    await rm(join(dataDir, name), { force: true });
  }
  await writeFile(join(homeDir, 'pg_hba.conf'), hbaText, { mode: 0o600 });
  await writeFile(join(homeDir, 'pg_ident.conf'), identText, { mode: 0o600 });
  if (identity) await giveAll(homeDir, identity);
}
