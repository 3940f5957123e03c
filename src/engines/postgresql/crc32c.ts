// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as PostgreSQL's backup manifest uses it
// for files. Only for small files: about a byte per step.
const polynomial = 0x82f63b78;

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
  }
  table[byte] = value >>> 0;
}

export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value = ((table[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8)) >>> 0;
  }
  return (value ^ 0xffffffff) >>> 0;
}
