// Which master keys open the repository. The marker names the first; whenever one comes or goes, an
// object `master-keys/<n>.json` is added, created only if absent, with all that open it from then
// on. The one with the highest number counts.
import { CairnError } from '../model/errors.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';

export const masterKeysFolder = 'master-keys/';
const namePattern = /^master-keys\/(\d{6})\.json$/;
const idPattern = /^[0-9a-f]{16}$/;

export type MasterKeyIds = {
  /** 0: the first key was never changed. */
  readonly number: number;
  /** Oldest first, at least one. */
  readonly all: readonly string[];
};

/** `firstId`: that of the marker. @throws repository-damaged, storage-unavailable */
export async function readMasterKeyIds(
  storage: Storage,
  firstId: string,
  signal: AbortSignal,
): Promise<MasterKeyIds> {
  let number = 0;
  for await (const { name } of storage.list(masterKeysFolder, signal)) {
    number = Math.max(number, Number(namePattern.exec(name)?.[1] ?? 0));
  }
  if (number === 0) return { number, all: [firstId] };
  const name = objectName(number);
  return { number, all: parseIds(await storage.read(name, null, signal), name) };
}

/** Durable when it answers. @throws conflict when somebody else records at the same moment */
export async function recordMasterKeyIds(
  storage: Storage,
  next: MasterKeyIds & { readonly repositoryId: string },
  { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
): Promise<void> {
  const { number, all, repositoryId } = next;
  const record = {
    ...{ format: 1, number, repository_id: repositoryId, master_key_ids: all },
    created_at: now.toISOString(),
  };
  const bytes = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
  if ((await storage.createExclusive(objectName(number), bytes, signal)) === 'created') return;
  throw new CairnError('conflict', `the master key of ${storage.location} is being changed`, {
    hint: 'wait until the other command has ended, then run this one again',
  });
}

/** @throws invalid, naming the key that it needs */
export async function assertOpens(
  masterKey: MasterKey,
  storage: Storage,
  of: { readonly firstId: string; readonly signal: AbortSignal },
): Promise<void> {
  const { all } = await readMasterKeyIds(storage, of.firstId, of.signal);
  if (all.includes(masterKey.id)) return;
  throw new CairnError('invalid', `${storage.location} is sealed with another master key`, {
    hint: `it needs key ${all.join(' or ')}, this one is ${masterKey.id}`,
  });
}

function objectName(number: number): string {
  return `${masterKeysFolder}${String(number).padStart(6, '0')}.json`;
}

function parseIds(bytes: Buffer, name: string): readonly string[] {
  let record: unknown;
  try {
    record = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'it is not JSON', cause);
  }
  const { master_key_ids: ids } = Object(record) as Record<string, unknown>;
  const isList = Array.isArray(ids) && ids.length > 0;
  if (isList && ids.every((id): id is string => idPattern.test(String(id)))) return ids;
  throw damaged(name, 'it names no master keys');
}
