// The header `Range` of one range of bytes (RFC 9110, 14.1 and 14.2). What is not understood, and
// more ranges than one, is as if the header were absent, which the RFC allows.
export type ByteRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly startBytes: number; readonly endBytes: number }
  | { readonly kind: 'outside' };

const pattern = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i;

/** `endBytes` is the place after the last byte. */
export function parseByteRange(header: string | undefined, sizeBytes: number): ByteRange {
  const match = pattern.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return { kind: 'whole' };
  if (first === '') {
    const count = Math.min(Number(last), sizeBytes);
    if (count === 0) return { kind: 'outside' };
    return { kind: 'part', startBytes: sizeBytes - count, endBytes: sizeBytes };
  }
  const startBytes = Number(first);
  if (last !== '' && Number(last) < startBytes) return { kind: 'whole' };
  if (startBytes >= sizeBytes) return { kind: 'outside' };
  const endBytes = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return { kind: 'part', startBytes, endBytes };
}
