// The messages inside the copy of a physical replication (PostgreSQL documentation, chapter
// "Frontend/Backend Protocol", "Streaming Replication Protocol"): XLogData and keepalives come,
// status updates go. Positions are 64 bits, big-endian.

export const logDataKind = 0x77;
export const keepaliveKind = 0x6b;

/** Kind, start of the data, the server's end of the log, its clock; then the data. */
export const logDataHeaderBytes = 25;
/** Kind, the server's end of the log, its clock, whether it wants an answer. */
export const keepaliveBytes = 18;

export type Status = {
  readonly writtenLsn: bigint;
  /** What the server may forget; 0 leaves things as they are. */
  readonly flushedLsn: bigint;
  /** The server answers with a keepalive at once. */
  readonly wantsAnswer: boolean;
};

/** Where the data of an XLogData message begins in the log. */
export function readDataStart(header: Buffer): bigint {
  return header.readBigUInt64BE(1);
}

/** Whether the server that sent the keepalive wants an answer at once. */
export function wantsAnswer(keepalive: Buffer): boolean {
  return keepalive[17] === 1;
}

/**
 * A standby status update. Nothing was applied, as with pg_receivewal, and the client's clock is of
 * no use to the server.
 */
export function statusMessage(status: Status): Buffer {
  const message = Buffer.alloc(34);
  message.write('r', 0, 'latin1');
  message.writeBigUInt64BE(status.writtenLsn, 1);
  message.writeBigUInt64BE(status.flushedLsn, 9);
  message[33] = status.wantsAnswer ? 1 : 0;
  return message;
}
