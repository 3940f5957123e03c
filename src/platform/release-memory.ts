/**
 * Gives the memory of a large buffer back at once; nobody may use it any more. Left to the garbage
 * collector, a frame's few buffers make V8 mark the whole heap every 60 frames, for it counts their
 * bytes as its own: a fifth of the processor time of a backup.
 */
export function releaseMemory({ buffer, byteLength }: Uint8Array): void {
  // Small ones are cut out of a pool that others use.
  const isShared = !(buffer instanceof ArrayBuffer) || buffer.byteLength <= Buffer.poolSize;
  if (!isShared && byteLength > 0) buffer.transfer(0);
}
