// Format version 1, as `docs/repository-format.md` specifies it: names, constants, and the frame
// around every sealed object. Packs, map objects and manifests share one container:
//
//   header   "CAIRNOBJ" · u16 version · u8 kind · u8 key id length · key id · 16 bytes salt
//   frames   u32 ciphertext length · u32 raw length · u8 codec · ciphertext · 16 bytes GCM tag
//   footer   one more frame, number 0xffffffff: of each frame
//            u64 offset · u32 sealed length · u32 raw length
//   trailer  u64 footer offset · u32 footer length · "CAIRNEND"
//
// All integers are big-endian.
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { MiB } from '../model/units.ts';

export const formatVersion = 1;
export const headerMagic = Buffer.from('CAIRNOBJ');
export const trailerMagic = Buffer.from('CAIRNEND');
export const objectKinds = {
  ...{ pack: 1, maps: 2, manifest: 3, checkpoint: 4 },
  ...{ log: 5, 'log-stream': 6, 'log-interval': 7 },
} as const;
export type ObjectKind = keyof typeof objectKinds;

export const saltBytes = 16;
export const tagBytes = 16;
export const frameHeadBytes = 9;
export const footerFrame = 0xffffffff;
export const footerEntryBytes = 16;
export const trailerBytes = 20;
export const codecs = { raw: 0, zstd: 1 } as const;

/** SHA-256 of a page, cut: 128 bits keep accidental and chosen collisions out of reach. */
export const digestBytes = 16;
/** Raw bytes of a frame at most. */
export const frameRawBytesMax = MiB;
export type ObjectSizes = {
  /** A pack or map object is closed when it has reached about this size. */
  readonly packBytes: number;
  readonly mapsBytes: number;
  /** A backup writes a checkpoint whenever it has stored so many bytes of pages. */
  readonly checkpointBytes: number;
};
export const objectSizes: ObjectSizes = {
  packBytes: 64 * MiB,
  mapsBytes: 4 * MiB,
  checkpointBytes: 4096 * MiB,
};
/** A part of a file map covers at most this many pages of one file. */
export const partPagesMax = 8192;
/** Entries of the file table in one frame of the manifest. */
export const tableEntriesMax = 4096;

/** A key id is part of an object's name. */
const keyIdPattern = /^[A-Za-z0-9._-]+$/;

export type ObjectHeader = {
  readonly kind: ObjectKind;
  readonly keyId: string;
  readonly salt: Buffer;
};

export function headerLength(keyId: string): number {
  return headerMagic.length + 4 + keyId.length + saltBytes;
}

export function encodeHeader({ kind, keyId, salt }: ObjectHeader): Buffer {
  const fixed = Buffer.alloc(4);
  fixed.writeUInt16BE(formatVersion, 0);
  fixed.writeUInt8(objectKinds[kind], 2);
  fixed.writeUInt8(keyId.length, 3);
  return Buffer.concat([headerMagic, fixed, Buffer.from(keyId, 'latin1'), salt]);
}

/** `bytes` may be longer than the header. @throws repository-damaged naming the object */
export function decodeHeader(bytes: Buffer, name: string): ObjectHeader {
  if (bytes.length < headerMagic.length + 4 || !bytes.subarray(0, 8).equals(headerMagic)) {
    throw damaged(name, 'it does not begin like an object of a repository');
  }
  const version = bytes.readUInt16BE(8);
  if (version !== formatVersion) throw unknownVersion(name, version);
  const kind = (Object.keys(objectKinds) as ObjectKind[]).find(
    (candidate) => objectKinds[candidate] === bytes.readUInt8(10),
  );
  const keyIdEnd = 12 + bytes.readUInt8(11);
  if (!kind || bytes.length < keyIdEnd + saltBytes) throw damaged(name, 'its header is broken');
  const keyId = bytes.toString('latin1', 12, keyIdEnd);
  if (!keyIdPattern.test(keyId)) throw damaged(name, 'its key id is broken');
  return { kind, keyId, salt: bytes.subarray(keyIdEnd, keyIdEnd + saltBytes) };
}

export function damaged(name: string, why: string, cause?: unknown): CairnError {
  return new CairnError('repository-damaged', `object ${name} is damaged: ${why}`, {
    hint: 'docs/maintenance.md says how to put it back from a copy or an older version',
    details: { object: name },
    cause,
  });
}

/** What a newer Cairn wrote is not damaged; it cannot be read, so nobody knows what it needs. */
export function unknownVersion(name: string, version: number): CairnError {
  return new CairnError('repository-damaged', `object ${name} has format version ${version}`, {
    hint: `this Cairn reads version ${formatVersion}: update it`,
    details: { object: name, newerFormat: true },
  });
}

export const repositoryObject = 'repository.json';

/** Of a data key; with a master key's id, the wrap that a change to that key has added. */
export function keyObject(keyId: string, masterKeyId?: string): string {
  return masterKeyId === undefined ? `keys/${keyId}.json` : `keys/${keyId}.${masterKeyId}.json`;
}

export function instanceFolder(instanceId: InstanceId): string {
  return `instances/${instanceId}/`;
}

export function backupFolder(instanceId: InstanceId, backupId: BackupId): string {
  return `${instanceFolder(instanceId)}backups/${backupId}/`;
}

export function manifestObject(instanceId: InstanceId, backupId: BackupId): string {
  return `${backupFolder(instanceId, backupId)}manifest`;
}

/** Names of manifests; the group is the backup's id. */
export const manifestPattern = /^instances\/[^/]+\/backups\/([0-9A-Za-z-]{1,64})\/manifest$/;

/** What attempts at a backup have finished so far; gone once the manifest is there. */
export function checkpointsFolder(instanceId: InstanceId, backupId: BackupId): string {
  return `${backupFolder(instanceId, backupId)}checkpoints/`;
}
