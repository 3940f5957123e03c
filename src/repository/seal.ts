// Seal: compress (zstd, RFC 8878) and encrypt (AES-256-GCM, NIST SP 800-38D) one frame. The key
// belongs to one object alone (HKDF-SHA-256, RFC 5869, from the data key, the object's random salt
// and its name), so the frame number can be the nonce. Codec, raw length and number are
// authenticated with the bytes.
import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { releaseMemory } from '../platform/release-memory.ts';
import { codecs, damaged, frameHeadBytes, tagBytes } from './format.ts';

const cipherName = 'aes-256-gcm';
const keyBytes = 32;
/** A frame that shrinks by less than 3 % is stored as it is: it restores faster. */
const worthwhileRatio = 0.97;
const easyRatio = 10;
const outputSlackBytes = 16 * 1024;

export function deriveObjectKey(dataKey: Uint8Array, salt: Uint8Array, name: string): Buffer {
  return Buffer.from(hkdfSync('sha256', dataKey, salt, `cairn/1/${name}`, keyBytes));
}

/**
 * The level for a frame after one that shrank by `lastRatio`. Rows that shrink so much do so at
 * every level: on tables of pgbench level 1 gave 42-fold at 1.4 times the speed of level 3, which
 * gave 40-fold.
 */
export function planLevel(lastRatio: number, level: number): number {
  return lastRatio >= easyRatio ? Math.min(level, 1) : level;
}

export function sealFrame(
  raw: Uint8Array,
  options: { readonly key: Uint8Array; readonly frame: number; readonly level: number },
): Buffer {
  const compressed = zstdCompressSync(raw, {
    // One output buffer that surely suffices: growing it in steps of 16 KiB halved the speed.
    chunkSize: raw.byteLength + outputSlackBytes,
    // Tables as large as the frame needs, not as a stream of any length would.
    pledgedSrcSize: raw.byteLength,
    params: { [constants.ZSTD_c_compressionLevel]: options.level },
  });
  const shrinks = compressed.byteLength < raw.byteLength * worthwhileRatio;
  const payload = shrinks ? compressed : raw;
  const sealed = Buffer.allocUnsafeSlow(frameHeadBytes + payload.byteLength + tagBytes);
  sealed.writeUInt32BE(payload.byteLength, 0);
  sealed.writeUInt32BE(raw.byteLength, 4);
  sealed.writeUInt8(shrinks ? codecs.zstd : codecs.raw, 8);
  const cipher = createCipheriv(cipherName, keyObjectOf(options.key), nonceOf(options.frame));
  cipher.setAAD(frameContext(options.frame, sealed));
  const encrypted = cipher.update(payload);
  sealed.set(encrypted, frameHeadBytes);
  cipher.final();
  sealed.set(cipher.getAuthTag(), frameHeadBytes + payload.byteLength);
  releaseMemory(compressed);
  releaseMemory(encrypted);
  return sealed;
}

let lastKey: { readonly bytes: Uint8Array; readonly object: KeyObject } | null = null;

/** Frames of one object come one after another; a key in bytes costs more than the sealing. */
function keyObjectOf(bytes: Uint8Array): KeyObject {
  if (!lastKey || Buffer.compare(lastKey.bytes, bytes) !== 0) {
    lastKey = { bytes: Uint8Array.from(bytes), object: createSecretKey(bytes) };
  }
  return lastKey.object;
}

type FrameKey = { readonly key: Uint8Array; readonly frame: number; readonly name: string };

/** @throws repository-damaged naming the object and the frame */
export function unsealFrame(sealed: Buffer, frameKey: FrameKey): Buffer {
  const { frame, name } = frameKey;
  const payload = decryptFrame(sealed, frameKey);
  const rawBytes = sealed.readUInt32BE(4);
  if (sealed.readUInt8(8) === codecs.raw) return payload;
  const raw = zstdDecompressSync(payload, {
    // A buffer that is exactly full makes Node allocate another to look for more.
    chunkSize: rawBytes + outputSlackBytes,
    maxOutputLength: Math.max(rawBytes, 1),
  });
  releaseMemory(payload);
  if (raw.byteLength !== rawBytes) throw damaged(name, `frame ${frame} has a wrong raw length`);
  return raw;
}

/**
 * The payload, authenticated and still compressed.
 * @throws repository-damaged naming the object and the frame
 */
export function decryptFrame(sealed: Buffer, { key, frame, name }: FrameKey): Buffer {
  const payloadEnd = sealed.byteLength - tagBytes;
  const payloadBytes = payloadEnd - frameHeadBytes;
  if (payloadBytes < 0 || sealed.readUInt32BE(0) !== payloadBytes) {
    throw damaged(name, `frame ${frame} has a wrong length`);
  }
  try {
    const decipher = createDecipheriv(cipherName, keyObjectOf(key), nonceOf(frame));
    decipher.setAAD(frameContext(frame, sealed));
    decipher.setAuthTag(sealed.subarray(payloadEnd));
    const payload = decipher.update(sealed.subarray(frameHeadBytes, payloadEnd));
    decipher.final();
    return payload;
  } catch (cause) {
    throw damaged(name, `frame ${frame} does not authenticate`, cause);
  }
}

function nonceOf(frame: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(frame, 8);
  return nonce;
}

/** Number, raw length and codec: what the ciphertext does not cover. */
function frameContext(frame: number, sealed: Buffer): Buffer {
  const context = Buffer.alloc(9);
  context.writeUInt32BE(frame, 0);
  sealed.copy(context, 4, 4, frameHeadBytes);
  return context;
}
