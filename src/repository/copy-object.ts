// Copies one sealed object to another storage in pieces of whole frames. Every frame is
// authenticated before it is written, so damage at the source does not get into the copy; the
// object keeps its name, because its key is derived from it.
import { isErrorKind } from '../model/errors.ts';
import { MiB } from '../model/units.ts';
import type { ObjectWriter, Storage } from '../storage/storage.ts';
import type { ObjectKind } from './format.ts';
import { damaged, decodeHeader, footerFrame, trailerBytes } from './format.ts';
import type { KeyRing } from './keys.ts';
import { statIfPresent } from './object-presence.ts';
import { decryptFrame, deriveObjectKey } from './seal.ts';
import type { FrameSpan } from './sealed-object.ts';
import { SealedObject } from './sealed-object.ts';

const pieceBytesMax = 8 * MiB;

export type CopyObjectParts = {
  readonly source: Storage;
  readonly target: Storage;
  /** Those of the source. */
  readonly keys: KeyRing;
  readonly signal: AbortSignal;
};

export type CopyableObject = {
  readonly name: string;
  readonly kind: ObjectKind;
  readonly size: number;
};

type Piece = {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Frames that lie in it, by number. */
  readonly frames: readonly number[];
  readonly holdsFooter: boolean;
};

/**
 * Copies the object unless it is there; holds one piece of about 8 MiB. Not durable until the
 * target is flushed. Answers the bytes written.
 * @throws repository-damaged naming the object when the source has it not, or not whole, or when
 *   the target has another of its name; storage errors
 */
export async function copyObject(
  object: CopyableObject,
  parts: CopyObjectParts,
  onBytes: (count: number) => void,
): Promise<number> {
  const { source, target, keys, signal } = parts;
  const { name, kind, size } = object;
  const where = { name, kind, sizeBytes: size };
  const opened = await SealedObject.open({ storage: source, keys }, where, {
    ...{ whole: false, signal },
  });
  const writer = await target.openWriter(name, signal);
  try {
    for (const piece of planPieces(opened.frames, size)) {
      signal.throwIfAborted();
      const bytes = await source.read(name, piece, signal);
      await assertAuthentic(bytes, piece, { opened, keys, signal });
      await writer.write(bytes);
      onBytes(piece.lengthBytes);
    }
    return await publish(writer, object, parts);
  } catch (error) {
    if (!isErrorKind(error, 'not-found')) throw error;
    throw damaged(name, 'it is missing', error);
  } finally {
    await writer.abort();
  }
}

/** Somebody else may have copied the same object meanwhile: its bytes are the same. */
async function publish(
  writer: ObjectWriter,
  { name, size }: CopyableObject,
  { target, signal }: CopyObjectParts,
): Promise<number> {
  try {
    await writer.publish();
    return size;
  } catch (error) {
    if (!isErrorKind(error, 'conflict')) throw error;
    const found = await statIfPresent(target, name, signal);
    if (found?.sizeBytes === size) return 0;
    throw error;
  }
}

/** The first piece begins with the header, the last one ends with footer and trailer. */
export function planPieces(frames: readonly FrameSpan[], sizeBytes: number): readonly Piece[] {
  const pieces: Piece[] = [];
  let begin = 0;
  let held: number[] = [];
  frames.forEach((span, frame) => {
    held.push(frame);
    const end = span.offsetBytes + span.sealedBytes;
    if (end - begin < pieceBytesMax) return;
    pieces.push({
      ...{ offsetBytes: begin, lengthBytes: end - begin, frames: held, holdsFooter: false },
    });
    begin = end;
    held = [];
  });
  pieces.push({
    ...{ offsetBytes: begin, lengthBytes: sizeBytes - begin, frames: held, holdsFooter: true },
  });
  return pieces;
}

/** Looks at the very bytes that are written, not at those that were read before. */
async function assertAuthentic(
  bytes: Buffer,
  { offsetBytes, frames, holdsFooter }: Piece,
  from: {
    readonly opened: SealedObject;
    readonly keys: KeyRing;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { opened, keys, signal } = from;
  const { key, name } = opened;
  if (offsetBytes === 0) {
    const header = decodeHeader(bytes, name);
    const dataKey = await keys.get(header.keyId, signal);
    const derived = deriveObjectKey(dataKey.key, header.salt, name);
    if (!derived.equals(key)) throw damaged(name, 'its header has changed');
  }
  for (const frame of frames) {
    const span = opened.frames[frame];
    if (!span) throw damaged(name, `it has no frame ${frame}`);
    const at = span.offsetBytes - offsetBytes;
    decryptFrame(bytes.subarray(at, at + span.sealedBytes), { key, frame, name });
  }
  if (!holdsFooter) return;
  const last = opened.frames.at(-1);
  const footerAt = last ? last.offsetBytes + last.sealedBytes - offsetBytes : null;
  const footer = bytes.subarray(footerAt ?? 0, bytes.byteLength - trailerBytes);
  if (footerAt !== null) decryptFrame(footer, { key, frame: footerFrame, name });
}
