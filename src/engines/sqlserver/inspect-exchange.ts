// Whether the place where backups are handed over is one place, seen from here and from the
// server: something that is no backup is put there, and the server asked what it is. That it is
// none is the right answer. Asking needs the right to create databases; without it only a backup
// can tell.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { throwIfAborted } from '../guard.ts';
import type { BackupBucket } from './backup-bucket.ts';
import { findBackupBucket } from './backup-bucket.ts';
import { findBackupFolder } from './connection-url.ts';
import { findCredential } from './credential.ts';
import type { Exchange, ExchangeName } from './exchange.ts';
import { openBucketOf } from './exchange-s3.ts';
import type { Ground } from './ground.ts';
import type { LoginRights } from './inspect-facts.ts';
import type { SqlSession } from './session.ts';
import { createCredentialStatement } from './tsql-credential.ts';
import { mediaStatement } from './tsql-media.ts';

export type ExchangeFacts =
  | { readonly kind: 'none' }
  /** Not usable from here. */
  | { readonly kind: 'broken'; readonly problem: string; readonly hint: string | null }
  | {
      readonly kind: 'usable';
      readonly place: string;
      readonly seen: ServerSight;
      /** Null: a folder needs none. */
      readonly credential: CredentialFacts | null;
    };

export type ServerSight =
  | { readonly kind: 'yes' }
  | { readonly kind: 'no'; readonly problem: string }
  /** The login may not ask, or the server is not yet able to. */
  | { readonly kind: 'unknown' };

export type CredentialFacts = { readonly url: string } & (
  | { readonly kind: 'present'; readonly name: string }
  /** The first backup makes it. */
  | { readonly kind: 'to-be-made' }
  | { readonly kind: 'absent'; readonly why: string }
  | { readonly kind: 'unknown' }
);

type Scene = {
  readonly session: SqlSession;
  readonly connection: Connection;
  readonly ground: Ground;
  readonly rights: LoginRights;
  readonly signal: AbortSignal;
};

/** Of each side: a share or a store that is not there must not take all the time there is. */
const sightTimeoutMs = 5000;
const probeBytes = 65_536;
const probeText = 'Cairn asks whether the server sees this file. It may be removed.\n';
/** What the server says of something that it could open, and that is no backup. */
const openedNumbers = [3203, 3241, 3242, 3243, 3254];

/** @throws the signal's reason, what the session throws but for answers about the place */
export async function lookAtExchange(scene: Scene): Promise<ExchangeFacts> {
  const { connection, ground, signal } = scene;
  const bucket = findBackupBucket(connection);
  const place = bucket?.url ?? findBackupFolder(connection)?.onServer;
  if (place === undefined) return { kind: 'none' };
  const credential = bucket === null ? null : await lookAtCredential(scene, bucket);
  const mayAsk = scene.rights.mayCreateDatabase && credential?.kind !== 'to-be-made';
  const name = { name: `cairn-probe-${ground.random.hex(8)}`, stripes: 1 };
  try {
    const exchange = await ground.openExchange(connection);
    await putProbe(exchange, name, deadlineSignal(sightTimeoutMs, signal));
    try {
      const seen = mayAsk ? await askServer(scene, exchange, name) : ({ kind: 'unknown' } as const);
      return { kind: 'usable', place, seen, credential };
    } finally {
      await exchange.remove(name, deadlineSignal(sightTimeoutMs, signal));
    }
  } catch (error) {
    throwIfAborted(signal);
    if (!(error instanceof CairnError) || error.kind.startsWith('engine-')) throw error;
    return { kind: 'broken', problem: error.message, hint: error.hint };
  }
}

async function putProbe(
  exchange: Exchange,
  name: ExchangeName,
  signal: AbortSignal,
): Promise<void> {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(probeBytes, probeText);
  }
  await exchange.put(name, 0, { sizeBytes: probeBytes, bytes: bytes() }, signal);
}

async function askServer(
  { session, signal }: Scene,
  exchange: Exchange,
  name: ExchangeName,
): Promise<ServerSight> {
  try {
    const statement = mediaStatement('label', exchange.devices(name));
    await session.run(statement, { signal, silenceMaxMs: sightTimeoutMs });
    return { kind: 'no', problem: 'the server finds another file of this name' };
  } catch (error) {
    throwIfAborted(signal);
    if (!(error instanceof CairnError)) throw error;
    if (openedNumbers.includes(Number(error.details['number']))) return { kind: 'yes' };
    return { kind: 'no', problem: error.message };
  }
}

async function lookAtCredential(
  { session, rights, signal, ground }: Scene,
  bucket: BackupBucket,
): Promise<CredentialFacts> {
  const { url } = bucket;
  const name = await findCredential(session, url, signal);
  if (name !== null) return { kind: 'present', url, name };
  if (!rights.mayAlterCredentials && !rights.mayViewDefinitions && !rights.isSysadmin) {
    return { kind: 'unknown', url };
  }
  if (bucket.profile === null) {
    return { kind: 'absent', url, why: 'backupProfile names no keys that the server may have' };
  }
  if (!rights.mayAlterCredentials) {
    return { kind: 'absent', url, why: 'the login may not make one' };
  }
  try {
    const keys = await (await openBucketOf(bucket, ground.openBucket)).findOwnKeys();
    if (keys === null) {
      return {
        kind: 'absent',
        url,
        why: `profile ${bucket.profile} has no lasting keys of its own`,
      };
    }
    createCredentialStatement({ url, ...keys });
    return { kind: 'to-be-made', url };
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
    return { kind: 'absent', url, why: error.hint ?? error.message };
  }
}
