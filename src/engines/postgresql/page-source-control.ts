// `pg_control` is read last, and while the server may write it: a copy that is half old and half
// new would keep a restored server from starting. It is whole when the checksum in it is that of
// what lies before (PostgreSQL source, `src/include/catalog/pg_control.h`: CRC-32C, the last field
// of a structure whose length differs between versions).
import { CairnError } from '../../model/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { crc32c } from './crc32c.ts';
import { controlFile } from './page-source-list.ts';
import type { PageSession } from './page-source-session.ts';

/** `PG_CONTROL_FILE_SIZE`; the structure itself never exceeds a sector of 512 bytes. */
const fileBytes = 8192;
const structureBytes = { min: 200, max: 512 } as const;
const readsMax = 10;
const pauseMs = 100;

/** @throws engine-refused when it never comes whole */
export async function readControlFile(
  session: Pick<PageSession, 'readBytes'>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Buffer> {
  for (let read = 1; read <= readsMax; read++) {
    if (read > 1) await clock.sleep(pauseMs, signal);
    const bytes = await session.readBytes(controlFile, 0, fileBytes);
    if (bytes?.length === fileBytes && isWholeControlFile(bytes)) return bytes;
  }
  throw new CairnError('engine-refused', `${controlFile} of the server is damaged`, {
    hint: 'compare it with what pg_controldata says on the server',
  });
}

export function isWholeControlFile(bytes: Buffer): boolean {
  for (let at = structureBytes.min; at + 4 <= structureBytes.max; at += 4) {
    if (bytes.readUInt32LE(at) === crc32c(bytes.subarray(0, at))) return true;
  }
  return false;
}
