// Opens manifests for everybody who reads them: the header alone, or with the file table.
import type { BackupContents } from '../model/backup-contents.ts';
import type { Storage } from '../storage/storage.ts';
import type { KeyRing } from './keys.ts';
import type { Manifest, ManifestHeader } from './manifest.ts';
import { decodeManifest, decodeManifestHeader } from './manifest.ts';
import { decodeContents, tableFramesOf } from './manifest-contents.ts';
import { SealedObject } from './sealed-object.ts';

type Parts = {
  readonly storage: Pick<Storage, 'read'>;
  readonly keys: KeyRing;
};
type Place = { readonly name: string; readonly sizeBytes: number };

/** @throws repository-damaged naming the manifest, also when it is gone */
export async function readManifestHeader(
  parts: Parts,
  { name, sizeBytes }: Place,
  signal: AbortSignal,
): Promise<ManifestHeader> {
  const where = { name, sizeBytes, kind: 'manifest' } as const;
  const object = await SealedObject.open(parts, where, { whole: false, signal });
  return decodeManifestHeader(await object.readFrame(0, signal), name);
}

/**
 * In one reading; the file table is compared with its hash. `assertHeader` sees the header first.
 * @throws repository-damaged naming the manifest, also when it is gone
 */
export async function readWhole(
  parts: Parts,
  { name, sizeBytes }: Place,
  signal: AbortSignal,
  assertHeader: (header: ManifestHeader) => void = () => undefined,
): Promise<Manifest> {
  const where = { name, sizeBytes, kind: 'manifest' } as const;
  const object = await SealedObject.open(parts, where, { whole: true, signal });
  const header = decodeManifestHeader(await object.readFrame(0, signal), name);
  assertHeader(header);
  const frames: Buffer[] = [];
  for (let frame = 1; frame < object.frameCount; frame++) {
    frames.push(await object.readFrame(frame, signal));
  }
  return await decodeManifest(header, tableFramesOf(header, frames, name), name);
}

/** What the backup holds; null when nobody has noted it. @throws not-found, repository-damaged */
export async function readManifestContents(
  parts: { readonly storage: Pick<Storage, 'read' | 'stat'>; readonly keys: KeyRing },
  name: string,
  signal: AbortSignal,
): Promise<BackupContents | null> {
  const { sizeBytes } = await parts.storage.stat(name, signal);
  const where = { name, sizeBytes, kind: 'manifest' } as const;
  const object = await SealedObject.open(parts, where, { whole: false, signal });
  const { table, contents } = decodeManifestHeader(await object.readFrame(0, signal), name);
  if (!contents) return null;
  const frames: Buffer[] = [];
  const end = 1 + table.frames + contents.frames;
  for (let frame = 1 + table.frames; frame < Math.min(end, object.frameCount); frame++) {
    frames.push(await object.readFrame(frame, signal));
  }
  return decodeContents(contents, frames, name);
}
