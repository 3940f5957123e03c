// The SDK's client, set up for stores of every make: no retries of its own (`s3-retry.ts` has a
// deadline), no checksum trailers (Ceph and Swift refuse them), connections kept open.
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { S3Address } from './storage-url.ts';

const connectTimeoutMs = 10_000;
const socketsMax = 32;

export type S3Connection = {
  readonly client: S3Client;
  /** How far the store's clock is ahead of ours; null before it has answered. */
  skewMs(): number | null;
};

/**
 * Connects to nothing yet. Credentials come from the SDK's default chain: environment, shared
 * files, the machine's role; of a profile where one is named. @throws invalid when the CA file
 * cannot be read
 */
export async function createS3Client(
  address: S3Address,
  clock: Clock,
  profile: string | null = null,
): Promise<S3Connection> {
  const ca = address.caFile === null ? null : await readCa(address.caFile);
  const agentOptions = { keepAlive: true, maxSockets: socketsMax };
  const client = new S3Client({
    ...(address.endpoint === null ? {} : { endpoint: address.endpoint }),
    ...(address.region === null ? {} : { region: address.region }),
    ...(profile === null ? {} : { profile }),
    forcePathStyle: address.pathStyle,
    followRegionRedirects: false,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent({ ...agentOptions, ...(ca === null ? {} : { ca }) }),
    },
  });
  let skewMs: number | null = null;
  // Next to the network, where answers that the SDK makes errors of are still answers.
  client.middlewareStack.add(
    (next) => async (args) => {
      const answer = await next(args);
      const sentAt = dateOf(answer.response);
      if (sentAt !== null) skewMs = sentAt - clock.now().getTime();
      return answer;
    },
    { step: 'deserialize', priority: 'low', name: 'readStoreClock' },
  );
  return { client, skewMs: () => skewMs };
}

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CairnError('invalid', `cannot read the certificates in ${path}`, {
      hint: 'correct ca=… in CAIRN_STORAGE',
      cause,
    });
  }
}

function dateOf(response: unknown): number | null {
  if (!response || typeof response !== 'object' || !('headers' in response)) return null;
  const { date } = response.headers as Record<string, string | undefined>;
  const at = date === undefined ? Number.NaN : Date.parse(date);
  return Number.isNaN(at) ? null : at;
}
