/**
 * Gives the memory of a large buffer back at once; nobody may use it any more. Left to the garbage
 * collector, such buffers make V8 mark the whole heap again and again, for it counts their bytes as
 * its own: a fifth of the processor time of a backup.
 */
export function releaseMemory({ buffer, byteLength }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength === 0) return;
  // Small ones are cut out of a pool that others use; none of them is as large as the pool.
  const isOwn = byteLength === buffer.byteLength || buffer.byteLength > Buffer.poolSize;
  if (isOwn) buffer.transfer(0);
}
