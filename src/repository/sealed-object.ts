// Writes and reads the container of `format.ts`: frames that were sealed elsewhere go in, in order;
// sealed frames come out by number. Packs, map objects and manifests differ only in what their
// frames hold.
import { randomBytes } from 'node:crypto';
import { isErrorKind } from '../model/errors.ts';
import type { ByteRange, ObjectWriter, Storage } from '../storage/storage.ts';
import type { ObjectKind } from './format.ts';
import {
  damaged,
  decodeHeader,
  encodeHeader,
  footerEntryBytes,
  footerFrame,
  frameHeadBytes,
  headerLength,
  saltBytes,
  tagBytes,
  trailerBytes,
  trailerMagic,
} from './format.ts';
import type { DataKey, KeyRing } from './keys.ts';
import { deriveObjectKey, sealFrame, unsealFrame } from './seal.ts';

const footerLevel = 3;
const footerFramesMax = 1_000_000;
/** One read fetches the footer of any usual object together with its trailer. */
const tailBytes = 16 * 1024;

export type FrameSpan = {
  readonly offsetBytes: number;
  readonly sealedBytes: number;
  readonly rawBytes: number;
};

/**
 * Collects the frames of one object. The caller sees to their order and hands the bytes to storage.
 */
export class ObjectEncoder {
  readonly key: Buffer;
  readonly header: Buffer;
  readonly #frames: FrameSpan[] = [];
  #sizeBytes: number;

  constructor(options: {
    readonly kind: ObjectKind;
    readonly name: string;
    readonly dataKey: DataKey;
  }) {
    const salt = randomBytes(saltBytes);
    this.key = deriveObjectKey(options.dataKey.key, salt, options.name);
    this.header = encodeHeader({ kind: options.kind, keyId: options.dataKey.id, salt });
    this.#sizeBytes = this.header.byteLength;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get frameCount(): number {
    return this.#frames.length;
  }

  /** Notes the next frame; its number is the count before the call. */
  add(sealed: Buffer): void {
    const rawBytes = sealed.readUInt32BE(4);
    const sealedBytes = sealed.byteLength;
    this.#frames.push({ offsetBytes: this.#sizeBytes, sealedBytes, rawBytes });
    this.#sizeBytes += sealedBytes;
  }

  /** Footer and trailer: the last bytes of the object. */
  end(): Buffer {
    const table = Buffer.alloc(this.#frames.length * footerEntryBytes);
    this.#frames.forEach((span, index) => {
      table.writeBigUInt64BE(BigInt(span.offsetBytes), index * footerEntryBytes);
      table.writeUInt32BE(span.sealedBytes, index * footerEntryBytes + 8);
      table.writeUInt32BE(span.rawBytes, index * footerEntryBytes + 12);
    });
    const footer = sealFrame(table, { key: this.key, frame: footerFrame, level: footerLevel });
    const trailer = Buffer.alloc(trailerBytes);
    trailer.writeBigUInt64BE(BigInt(this.#sizeBytes), 0);
    trailer.writeUInt32BE(footer.byteLength, 8);
    trailerMagic.copy(trailer, 12);
    this.#sizeBytes += footer.byteLength + trailerBytes;
    return Buffer.concat([footer, trailer]);
  }
}

/**
 * Seals small frames one by one and publishes the object: for maps, which come at a walking pace.
 */
export async function publishFrames(
  writer: ObjectWriter,
  encoder: ObjectEncoder,
  frames: readonly Uint8Array[],
): Promise<void> {
  await writer.write(encodeFrames(encoder, frames));
  await writer.publish();
}

/** The whole object as bytes. */
export function encodeFrames(encoder: ObjectEncoder, frames: readonly Uint8Array[]): Buffer {
  const pieces: Buffer[] = [encoder.header];
  for (const raw of frames) {
    const options = { key: encoder.key, frame: encoder.frameCount, level: footerLevel };
    const sealed = sealFrame(raw, options);
    encoder.add(sealed);
    pieces.push(sealed);
  }
  pieces.push(encoder.end());
  return Buffer.concat(pieces);
}

type ReadableStorage = Pick<Storage, 'read'>;

/** One object opened for reading: its key and where its frames lie. */
export class SealedObject {
  readonly name: string;
  readonly key: Buffer;
  readonly #storage: ReadableStorage;
  readonly #frames: readonly FrameSpan[];
  readonly #whole: Buffer | null;

  private constructor(
    name: string,
    parts: {
      key: Buffer;
      storage: ReadableStorage;
      frames: readonly FrameSpan[];
      whole: Buffer | null;
    },
  ) {
    this.name = name;
    this.key = parts.key;
    this.#storage = parts.storage;
    this.#frames = parts.frames;
    this.#whole = parts.whole;
  }

  /**
   * Reads header and footer; with `whole`, everything in one go. Who opens an object has seen its
   * name in a listing or a manifest, so one that is gone is damage.
   * @throws repository-damaged
   */
  static async open(
    parts: { readonly storage: ReadableStorage; readonly keys: KeyRing },
    object: { readonly name: string; readonly kind: ObjectKind; readonly sizeBytes: number },
    options: { readonly whole: boolean; readonly signal: AbortSignal },
  ): Promise<SealedObject> {
    const { name, sizeBytes } = object;
    const { storage, keys } = parts;
    const { signal } = options;
    if (sizeBytes < trailerBytes) throw damaged(name, 'it is too short');
    const whole = options.whole ? await readPresent(storage, name, null, signal) : null;
    if (whole && whole.byteLength !== sizeBytes) throw damaged(name, 'its size has changed');
    const read = async (offsetBytes: number, lengthBytes: number): Promise<Buffer> =>
      whole
        ? whole.subarray(offsetBytes, offsetBytes + lengthBytes)
        : await readPresent(storage, name, { offsetBytes, lengthBytes }, signal);
    const headBytes = Math.min(sizeBytes, headerLength('x'.repeat(255)));
    const header = decodeHeader(await read(0, headBytes), name);
    if (header.kind !== object.kind) throw damaged(name, `it is a ${header.kind}`);
    const dataKey = await keys.get(header.keyId, signal);
    const key = deriveObjectKey(dataKey.key, header.salt, name);
    const frames = await readFooter(read, { name, sizeBytes, key });
    return new SealedObject(name, { key, storage, frames, whole });
  }

  get frameCount(): number {
    return this.#frames.length;
  }

  /** Where the frames lie, in order. */
  get frames(): readonly FrameSpan[] {
    return this.#frames;
  }

  /** As the footer says. */
  rawBytesOf(frame: number): number {
    return this.#frames[frame]?.rawBytes ?? 0;
  }

  /** The sealed bytes of one frame. @throws repository-damaged */
  async readSealed(frame: number, signal: AbortSignal): Promise<Buffer> {
    const span = this.#frames[frame];
    if (!span) throw damaged(this.name, `it has no frame ${frame}`);
    const { offsetBytes, sealedBytes } = span;
    return await this.readRange({ offsetBytes, lengthBytes: sealedBytes }, signal);
  }

  /** Bytes as they lie there, of frames side by side. @throws repository-damaged */
  async readRange(range: ByteRange, signal: AbortSignal): Promise<Buffer> {
    const { offsetBytes, lengthBytes } = range;
    if (this.#whole) return this.#whole.subarray(offsetBytes, offsetBytes + lengthBytes);
    return await readPresent(this.#storage, this.name, range, signal);
  }

  /** One frame, unsealed on this thread. @throws repository-damaged */
  async readFrame(frame: number, signal: AbortSignal): Promise<Buffer> {
    const sealed = await this.readSealed(frame, signal);
    return unsealFrame(sealed, { key: this.key, frame, name: this.name });
  }
}

async function readPresent(
  storage: ReadableStorage,
  name: string,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Buffer> {
  try {
    return await storage.read(name, range, signal);
  } catch (error) {
    if (isErrorKind(error, 'not-found')) throw damaged(name, 'it is missing', error);
    throw error;
  }
}

async function readFooter(
  read: (offsetBytes: number, lengthBytes: number) => Promise<Buffer>,
  object: { readonly name: string; readonly sizeBytes: number; readonly key: Buffer },
): Promise<FrameSpan[]> {
  const { name, sizeBytes, key } = object;
  const tail = await read(Math.max(0, sizeBytes - tailBytes), Math.min(sizeBytes, tailBytes));
  const trailer = tail.subarray(tail.byteLength - trailerBytes);
  if (!trailer.subarray(12).equals(trailerMagic)) throw damaged(name, 'its end is missing');
  const footerOffset = Number(trailer.readBigUInt64BE(0));
  const footerBytes = trailer.readUInt32BE(8);
  if (
    footerOffset + footerBytes + trailerBytes !== sizeBytes ||
    footerBytes > footerFramesMax * footerEntryBytes
  ) {
    throw damaged(name, 'its trailer does not fit its size');
  }
  const inTail = footerBytes + trailerBytes <= tail.byteLength;
  const sealed = inTail
    ? tail.subarray(tail.byteLength - trailerBytes - footerBytes, tail.byteLength - trailerBytes)
    : await read(footerOffset, footerBytes);
  const table = unsealFrame(Buffer.from(sealed), { key, frame: footerFrame, name });
  const spans: FrameSpan[] = [];
  for (let at = 0; at < table.byteLength; at += footerEntryBytes) {
    const offsetBytes = Number(table.readBigUInt64BE(at));
    const sealedBytes = table.readUInt32BE(at + 8);
    if (sealedBytes < frameHeadBytes + tagBytes || offsetBytes + sealedBytes > footerOffset) {
      throw damaged(name, 'its footer points outside the object');
    }
    spans.push({ offsetBytes, sealedBytes, rawBytes: table.readUInt32BE(at + 12) });
  }
  return spans;
}
