// One zstd frame of raw blocks (RFC 8878, 3.1.1): every decoder reads it, nothing is compressed,
// and so every byte of the frame has a place that follows from the length alone. That is what lets
// a stream be entered anywhere without having produced what lies before.
//
//   u32 magic · u8 descriptor · u8 window · u64 content length    the head
//   u24 (last | raw << 1 | length << 3) · up to 128 KiB           the blocks
//
// Integers are little-endian.
export type Span = { readonly startBytes: number; readonly endBytes: number };

export const blockBytes = 128 * 1024;
const magic = 0xfd2fb528;
/** The content length has eight bytes; no single segment, no checksum, no dictionary. */
const descriptor = 0b1100_0000;
/** Exponent 7 above 2^10: a window of 128 KiB, which is also the largest block. */
const windowDescriptor = 7 << 3;
const headBytes = 14;
const blockHeadBytes = 3;

/** The length of the frame around so much content. */
export function framedLength(contentBytes: number): number {
  const blocks = Math.max(1, Math.ceil(contentBytes / blockBytes));
  return headBytes + blocks * blockHeadBytes + contentBytes;
}

/**
 * A span of the frame as pieces in order. `readContent` is asked once, for the content that lies in
 * the span, and must give exactly that.
 */
export async function* readFramed(
  contentBytes: number,
  { startBytes, endBytes }: Span,
  readContent: (span: Span) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  /** Where in the frame the next piece lies; all of it, or the part inside the span. */
  let at = 0;
  const clip = (piece: Uint8Array): Uint8Array[] => {
    const from = Math.max(0, startBytes - at);
    const to = Math.min(piece.byteLength, endBytes - at);
    at += piece.byteLength;
    return from < to ? [piece.subarray(from, to)] : [];
  };
  if (startBytes < headBytes) yield* clip(frameHead(contentBytes));
  const span = {
    startBytes: contentOffset(startBytes, contentBytes),
    endBytes: contentOffset(endBytes, contentBytes),
  };
  let content = span.startBytes;
  at = content + headBytes + Math.ceil(content / blockBytes) * blockHeadBytes;
  const needsHead = (): boolean => content % blockBytes === 0 && at < endBytes;
  if (span.startBytes < span.endBytes) {
    for await (const bytes of readContent(span)) {
      for (let done = 0; done < bytes.byteLength; ) {
        if (needsHead()) yield* clip(blockHead(content, contentBytes));
        const count = Math.min(bytes.byteLength - done, blockBytes - (content % blockBytes));
        yield* clip(bytes.subarray(done, done + count));
        done += count;
        content += count;
      }
    }
  }
  // The span ends within the head of a block, or there is no content at all.
  if (needsHead()) yield* clip(blockHead(content, contentBytes));
}

function frameHead(contentBytes: number): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(magic, 0);
  head.writeUInt8(descriptor, 4);
  head.writeUInt8(windowDescriptor, 5);
  head.writeBigUInt64LE(BigInt(contentBytes), 6);
  return head;
}

function blockHead(content: number, contentBytes: number): Buffer {
  const size = Math.min(blockBytes, contentBytes - content);
  const last = content + size === contentBytes ? 1 : 0;
  const head = Buffer.alloc(blockHeadBytes);
  head.writeUIntLE(last | (size << 3), 0, blockHeadBytes);
  return head;
}

/** How much content lies before a place in the frame. */
function contentOffset(frameOffset: number, contentBytes: number): number {
  const behindHead = Math.max(0, frameOffset - headBytes);
  const blocks = Math.floor(behindHead / (blockBytes + blockHeadBytes));
  const inBlock = behindHead - blocks * (blockBytes + blockHeadBytes);
  return Math.min(contentBytes, blocks * blockBytes + Math.max(0, inBlock - blockHeadBytes));
}
