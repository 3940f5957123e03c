// What a bucket does against deletion and overwriting, as far as it tells us: not every store knows
// these requests, and not everybody may ask.
import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type LifecycleRule,
} from '@aws-sdk/client-s3';
import type { ErrorDetails } from '../model/errors.ts';
import { CairnError } from '../model/errors.ts';
import type { S3Requests } from './s3-requests.ts';
import type { LockTerms, Protection } from './storage.ts';

type LockState = Pick<Protection, 'canLock' | 'lockedByDefault'>;

/** Never throws because the store does not tell. @throws storage errors */
export async function readProtection(
  requests: S3Requests,
  signal: AbortSignal,
): Promise<Protection> {
  const versioning = await readVersioning(requests, signal);
  const lock = await readLockState(requests, signal);
  const keepsVersions = versioning !== 'off' || lock.canLock === true;
  const oldVersionsExpire = keepsVersions ? await readExpiry(requests, signal) : false;
  return { versioning, ...lock, oldVersionsExpire };
}

/** @throws invalid, saying what to do, when nothing can be locked there */
export function assertCanLock({ canLock }: Protection, bucket: string): void {
  if (canLock === true) return;
  if (canLock === false) {
    throw new CairnError('invalid', `object lock is not enabled in bucket ${bucket}`, {
      hint:
        'enable it, or make a bucket with it (docs/object-lock.md), ' +
        'or take lock=… out of the storage location',
    });
  }
  const text = `bucket ${bucket} does not tell whether objects can be locked there`;
  throw new CairnError('invalid', text, {
    hint:
      'allow s3:GetBucketObjectLockConfiguration; a store that does not know the request has no ' +
      'object lock: take lock=… out of the storage location',
  });
}

async function readVersioning(
  requests: S3Requests,
  signal: AbortSignal,
): Promise<Protection['versioning']> {
  const { connection, address } = requests.parts;
  const command = new GetBucketVersioningCommand({ Bucket: address.bucket });
  const found = await ask(requests, 'ask for versioning', signal, (abortSignal) =>
    connection.client.send(command, { abortSignal }),
  );
  if (typeof found === 'string') return found === 'unset' ? 'off' : 'unknown';
  return found.Status === 'Enabled' ? 'on' : 'off';
}

async function readLockState(requests: S3Requests, signal: AbortSignal): Promise<LockState> {
  const { connection, address } = requests.parts;
  const command = new GetObjectLockConfigurationCommand({ Bucket: address.bucket });
  const found = await ask(requests, 'ask for object lock', signal, (abortSignal) =>
    connection.client.send(command, { abortSignal }),
  );
  if (typeof found === 'string') {
    return { canLock: found === 'unset' ? false : 'unknown', lockedByDefault: null };
  }
  const { ObjectLockEnabled, Rule } = found.ObjectLockConfiguration ?? {};
  // An answer of 200 that says nothing comes from a store that does not know the question.
  if (ObjectLockEnabled !== 'Enabled') return { canLock: 'unknown', lockedByDefault: null };
  const { Mode, Days, Years } = Rule?.DefaultRetention ?? {};
  const mode: LockTerms['mode'] = Mode === 'COMPLIANCE' ? 'compliance' : 'governance';
  const lockedByDefault = Mode === undefined ? null : { mode, days: Days ?? (Years ?? 0) * 365 };
  return { canLock: true, lockedByDefault };
}

async function readExpiry(
  requests: S3Requests,
  signal: AbortSignal,
): Promise<Protection['oldVersionsExpire']> {
  const { connection, address } = requests.parts;
  const command = new GetBucketLifecycleConfigurationCommand({ Bucket: address.bucket });
  const found = await ask(requests, 'ask for lifecycle rules', signal, (abortSignal) =>
    connection.client.send(command, { abortSignal }),
  );
  if (typeof found === 'string') return found === 'unset' ? false : 'unknown';
  return (found.Rules ?? []).some((rule) => removesOldVersions(rule, address.prefix));
}

/** Rules with other conditions than a prefix do not count: who knows what they mean. */
function removesOldVersions(rule: LifecycleRule, prefix: string): boolean {
  const { Status, NoncurrentVersionExpiration: expiration, Filter: filter } = rule;
  if (Status !== 'Enabled' || !expiration?.NoncurrentDays) return false;
  const { Prefix, ...others } = filter ?? {};
  if (Object.values(others).some((value) => value !== undefined)) return false;
  return prefix.startsWith(Prefix ?? rule.Prefix ?? '');
}

/** `unset`: the bucket has none; `unknown`: it does not say. */
async function ask<T extends object>(
  requests: S3Requests,
  what: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | 'unset' | 'unknown'> {
  try {
    return await requests.attempt({ what, sizeBytes: 0, signal }, work);
  } catch (error) {
    const { failure }: ErrorDetails = error instanceof CairnError ? error.details : {};
    if (failure === 'unset') return 'unset';
    const isMute = ['denied', 'not-implemented', 'other', 'no-object'].includes(String(failure));
    if (isMute) return 'unknown';
    throw error;
  }
}
