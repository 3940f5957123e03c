// The credential by which a server reaches the bucket of the exchange. Whoever owns the server may
// get its secret out of there, so Cairn hands over only keys that are for this and nothing else:
// those of the profile that the connection names, never those of its own repository.
import type { Connection } from '../../model/instance.ts';
import { findBackupBucket } from './backup-bucket.ts';
import type { OpenBucket } from './exchange-s3.ts';
import { openBucketOf } from './exchange-s3.ts';
import type { SqlSession } from './session.ts';
import { openSession } from './session.ts';
import { createCredentialStatement, credentialsStatement, s3Identity } from './tsql-credential.ts';

/**
 * The most specific of the credentials that are for this URL, which is the one the server takes;
 * null: the login sees none. @throws what the session throws
 */
export async function findCredential(
  session: SqlSession,
  url: string,
  signal: AbortSignal,
): Promise<string | null> {
  const rows = await session.run(credentialsStatement(), { signal });
  return planCredential(
    rows
      .filter((row) => row['credential_identity'] === s3Identity)
      .map((row) => String(row['name'])),
    url,
  );
}

/** Pure. A name ends where a part of the URL does. */
export function planCredential(names: readonly string[], url: string): string | null {
  const wanted = `${url.toLowerCase()}/`;
  const fitting = names.filter((name) => wanted.startsWith(`${name.toLowerCase()}/`));
  return fitting.toSorted((a, b) => b.length - a.length)[0] ?? null;
}

/**
 * Makes the credential where there is none and the connection names keys for it; does nothing, and
 * asks nobody, for every other connection. @throws invalid for keys that the server would not pass
 * on; engine-refused without ALTER ANY CREDENTIAL
 */
export async function ensureCredential(
  connection: Connection,
  openBucket: OpenBucket,
  signal: AbortSignal,
): Promise<void> {
  const place = findBackupBucket(connection);
  if (place === null || place.profile === null) return;
  await using session = await openSession(connection, { signal });
  if ((await findCredential(session, place.url, signal)) !== null) return;
  const keys = await (await openBucketOf(place, openBucket)).findOwnKeys();
  if (keys === null) return;
  await session.run(createCredentialStatement({ url: place.url, ...keys }), { signal });
}
