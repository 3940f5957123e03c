// Links that carry a signature in place of credentials (Amazon S3 API reference, "Authenticating
// requests: using query parameters"). They work for seven days at most, and no longer than
// temporary credentials that made them.
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { CairnError } from '../model/errors.ts';
import type { S3Requests } from './s3-requests.ts';

const lifetimeMaxMs = 7 * 24 * 3_600_000;

/** Signed by the store's clock. @throws invalid, not-found, storage errors */
export async function presignDownload(
  requests: S3Requests,
  name: string,
  options: { readonly lifetimeMs: number; readonly signal: AbortSignal },
): Promise<string> {
  const { lifetimeMs, signal } = options;
  if (!(lifetimeMs >= 1_000 && lifetimeMs <= lifetimeMaxMs)) {
    throw new CairnError('invalid', 'a link cannot live for so long', {
      hint: 'name a time from 1s to 7d: no store takes an older signature',
    });
  }
  // Also the first answer of the store, which tells its time.
  await requests.head(name, signal);
  const { connection, clock } = requests.parts;
  const request = { what: `make a link to ${name}`, sizeBytes: 0, signal };
  return await requests.attempt(request, async () => {
    const signingDate = new Date(clock.now().getTime() + (connection.skewMs() ?? 0));
    const expiresIn = Math.floor(lifetimeMs / 1000);
    const command = new GetObjectCommand(requests.at(name));
    return await getSignedUrl(connection.client, command, { expiresIn, signingDate });
  });
}
