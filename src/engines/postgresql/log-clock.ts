// Where PostgreSQL's insert position lies for whoever receives its log.

/** Sizes of a WAL page's header: 40 bytes on a segment's first page, 24 on others. */
const longHeaderBytes = 40n;
const shortHeaderBytes = 24n;

/**
 * An insert position right behind a page's header: nothing is in the page yet, and the server sends
 * its log up to the page only.
 */
export function endOfInserted(lsn: bigint, pageBytes: number, segmentBytes: number): bigint {
  const offset = lsn % BigInt(pageBytes);
  const isFirst = lsn % BigInt(segmentBytes) === offset;
  return offset === (isFirst ? longHeaderBytes : shortHeaderBytes) ? lsn - offset : lsn;
}
