// The lock of one version: reads it, writes it, and tries in the bucket whether it holds.
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { CairnError } from '../model/errors.ts';
import { classifyFailure } from './s3-failure.ts';
import type { S3Requests } from './s3-requests.ts';
import { listVersions } from './s3-versions.ts';
import type { LockMode, ObjectVersion } from './storage.ts';

export type Retention = { readonly endMs: number; readonly mode: LockMode };
type VersionName = Pick<ObjectVersion, 'name' | 'versionId'>;

const probeLockedMs = 60_000;
const probeTimeoutMs = 30_000;

/** Null when the version is not locked; one whose time is over counts as locked until then. */
export async function readRetention(
  requests: S3Requests,
  { name, versionId }: VersionName,
  signal: AbortSignal,
): Promise<Retention | null> {
  const { client } = requests.parts.connection;
  const request = { what: `ask for the lock of ${name}`, sizeBytes: 0, signal };
  return await requests.attempt(request, async (abortSignal) => {
    try {
      const at = { ...requests.at(name), VersionId: versionId };
      const answer = await client.send(new GetObjectRetentionCommand(at), { abortSignal });
      const { Mode, RetainUntilDate: end } = answer.Retention ?? {};
      if (!end) return null;
      return { endMs: end.getTime(), mode: Mode === 'COMPLIANCE' ? 'compliance' : 'governance' };
    } catch (error) {
      if (classifyFailure(error) === 'unset') return null;
      throw error;
    }
  });
}

/** @throws storage errors, also when it would shorten a lock */
export async function writeRetention(
  requests: S3Requests,
  { name, versionId }: VersionName,
  { retention, signal }: { readonly retention: Retention; readonly signal: AbortSignal },
): Promise<void> {
  const { client } = requests.parts.connection;
  const request = { what: `lock ${name}`, sizeBytes: 0, signal };
  await requests.attempt(request, async (abortSignal) => {
    const command = new PutObjectRetentionCommand({
      ...{ ...requests.at(name), VersionId: versionId },
      Retention: {
        Mode: retention.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
        RetainUntilDate: new Date(retention.endMs),
      },
    });
    await client.send(command, { abortSignal });
  });
}

/** There are stores that answer 200 and lock nothing. @throws storage-unavailable */
export async function assertRetention(
  requests: S3Requests,
  version: VersionName,
  { retention, signal }: { readonly retention: Retention; readonly signal: AbortSignal },
): Promise<void> {
  const found = await readRetention(requests, version, signal);
  // Stores keep whole seconds.
  if (found && found.endMs >= retention.endMs - 1_000) return;
  throw lockIgnored(`${requests.parts.location} accepts a lock and does not show it`);
}

/** Locks a small object for a minute and tries to delete it. @throws when that works */
export async function probeLock(
  requests: S3Requests,
  { mode, nowMs, signal }: { readonly mode: LockMode; nowMs: number; signal: AbortSignal },
): Promise<void> {
  const { connection, random, location } = requests.parts;
  const name = `tmp/probe-lock-${random.hex(8)}`;
  await requests.put(name, Buffer.from('locked'), signal);
  try {
    const [version] = await Array.fromAsync(listVersions(requests, name, signal));
    if (!version) throw lockIgnored(`${location} lists no version of what was just written`);
    const retention = { mode, endMs: nowMs + probeLockedMs };
    // A bucket may lock by itself, for longer.
    const isLocked = (await readRetention(requests, version, signal)) !== null;
    if (!isLocked) await writeRetention(requests, version, { retention, signal });
    await assertRetention(requests, version, { retention, signal });
    const outcome = await requests.attempt(
      { what: `delete ${name}`, sizeBytes: 0, signal },
      async (abortSignal) => {
        const at = { ...requests.at(name), VersionId: version.versionId };
        return await connection.client.send(new DeleteObjectCommand(at), { abortSignal }).then(
          () => 'deleted',
          (error: unknown) => {
            if (classifyFailure(error) !== 'denied') throw error;
            return 'refused';
          },
        );
      },
    );
    if (outcome === 'deleted') throw lockIgnored(`${location} deletes what is locked`);
  } finally {
    // Only hides it.
    await requests.delete(name, AbortSignal.timeout(probeTimeoutMs)).catch(() => undefined);
  }
}

function lockIgnored(text: string): CairnError {
  return new CairnError('storage-unavailable', text, {
    hint: 'this store has no object lock to rely on: take lock=… out of the storage location',
  });
}
