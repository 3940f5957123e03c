// One data key wrapped by one master key: `keys/<key id>.json` is the wrap that it was made with,
// `keys/<key id>.<master key id>.json` one that a change of the master key has added.
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';
import { readIfPresent } from './object-presence.ts';

export const dataKeyBytes = 32;

export type KeyWrap = {
  readonly name: string;
  readonly masterKeyId: string;
  readonly wrapped: Buffer;
};

export type KeyName = {
  readonly keyId: string;
  /** Null: the record says it. */
  readonly masterKeyId: string | null;
};

/** Null: no data key has that name. */
export function parseKeyName(name: string): KeyName | null {
  const match = /^keys\/([^./]+\.\d{1,9})(?:\.([0-9a-f]{16}))?\.json$/.exec(name);
  return match?.[1] === undefined ? null : { keyId: match[1], masterKeyId: match[2] ?? null };
}

/** Wraps by the id of their data key, in the order of the ids. @throws storage-unavailable */
export async function listWraps(
  storage: Storage,
  prefix: `keys/${string}`,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const names: string[] = [];
  for await (const { name } of storage.list(prefix, signal)) names.push(name);
  const wraps = new Map<string, string[]>();
  for (const name of names.sort()) {
    const keyId = parseKeyName(name)?.keyId;
    if (keyId !== undefined) wraps.set(keyId, [...(wraps.get(keyId) ?? []), name]);
  }
  return wraps;
}

/** The bytes of the object. */
export function composeWrap(
  keyId: string,
  key: Uint8Array,
  { masterKey, now }: { readonly masterKey: MasterKey; readonly now: Date },
): Buffer {
  const record = {
    format: 1,
    key_id: keyId,
    instance_id: keyId.slice(0, keyId.lastIndexOf('.')),
    created_at: now.toISOString(),
    master_key_id: masterKey.id,
    wrapped: masterKey.wrap(key, keyContext(keyId)).toString('base64'),
  };
  return Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
}

/** Null when there is none. @throws repository-damaged */
export async function readWrap(
  storage: Storage,
  name: string,
  signal: AbortSignal,
): Promise<KeyWrap | null> {
  const bytes = await readIfPresent(storage, name, signal);
  if (!bytes) return null;
  let record: unknown;
  try {
    record = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'it is not JSON', cause);
  }
  const { wrapped, master_key_id: masterKeyId } = Object(record) as Record<string, unknown>;
  if (typeof wrapped !== 'string') throw damaged(name, 'it holds no wrapped key');
  if (typeof masterKeyId !== 'string') throw damaged(name, 'it names no master key');
  return { name, masterKeyId, wrapped: Buffer.from(wrapped, 'base64') };
}

/** @throws repository-damaged */
export function openWrap({ name, wrapped }: KeyWrap, keyId: string, masterKey: MasterKey): Buffer {
  const key = unwrap(wrapped, keyId, { name, masterKey });
  if (key.byteLength !== dataKeyBytes) throw damaged(name, 'the key has a wrong length');
  return key;
}

function unwrap(
  wrapped: Buffer,
  keyId: string,
  { name, masterKey }: { readonly name: string; readonly masterKey: MasterKey },
): Buffer {
  try {
    return masterKey.unwrap(wrapped, keyContext(keyId));
  } catch (cause) {
    throw damaged(name, `master key ${masterKey.id} does not unwrap it`, cause);
  }
}

function keyContext(keyId: string): string {
  return `data key ${keyId}`;
}
