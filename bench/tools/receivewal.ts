// pg_receivewal of the server's own version: log from a slot into compressed files.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import type { Measured } from './tool.ts';
import { folderBytes, measureLine } from './tool.ts';

export type ReceiveRequest = {
  readonly home: string;
  readonly slot: string;
  /** As its `--compress` takes it. */
  readonly compress: string;
  /** It ends when it has gone past. */
  readonly endLsn: string;
};

export async function receiveWal(
  server: TestServer,
  { home, slot, compress, endLsn }: ReceiveRequest,
): Promise<Measured & { readonly storedBytes: number }> {
  const folder = join(home, slot);
  await mkdir(folder);
  const what = `-D ${folder} -S ${slot} --compress=${compress} --endpos=${endLsn} --no-loop`;
  const measured = measureLine(`${server.binDir}/pg_receivewal -d '${server.url}' ${what}`);
  const storedBytes = await folderBytes(folder);
  await rm(folder, { recursive: true });
  return { ...measured, storedBytes };
}
