// The few messages that a replication conversation needs: bodies of those that come, and whole ones
// to send (PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Message Formats" and
// "Error and Notice Message Fields").

export type ServerReport = {
  /** `ERROR`, `WARNING`, …: never translated. */
  readonly severity: string;
  readonly sqlState: string;
  readonly message: string;
  readonly hint: string | null;
};

export type ResultSet = {
  readonly columns: readonly string[];
  readonly rows: (string | null)[][];
};

/** ErrorResponse and NoticeResponse: fields of one byte type and a text, until a zero byte. */
export function parseReport(body: Buffer): ServerReport {
  const fields = new Map<string, string>();
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    fields.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    sqlState: fields.get('C') ?? '',
    message: fields.get('M') ?? 'no text',
    hint: fields.get('H') ?? null,
  };
}

/** RowDescription: a count, then per column its name and eighteen bytes about its type. */
export function parseColumns(body: Buffer): string[] {
  const columns: string[] = [];
  let at = 2;
  for (let count = body.readUInt16BE(0); count > 0; count--) {
    const end = body.indexOf(0, at);
    columns.push(body.toString('utf8', at, end));
    at = end + 1 + 18;
  }
  return columns;
}

/** DataRow: a count, then per column a length (-1 for null) and the text. */
export function parseRow(body: Buffer): (string | null)[] {
  const row: (string | null)[] = [];
  let at = 2;
  for (let count = body.readUInt16BE(0); count > 0; count--) {
    const length = body.readInt32BE(at);
    at += 4;
    row.push(length < 0 ? null : body.toString('utf8', at, at + length));
    at += Math.max(length, 0);
  }
  return row;
}

/** A simple query: type, length, text, zero byte. */
export function queryMessage(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const message = Buffer.alloc(bytes.length + 6);
  message.write('Q', 0, 'latin1');
  message.writeUInt32BE(bytes.length + 5, 1);
  bytes.copy(message, 5);
  return message;
}

/** Before the bytes of one CopyData: type and length. */
export function copyDataHeader(bodyBytes: number): Buffer {
  const header = Buffer.alloc(5);
  header.write('d', 0, 'latin1');
  header.writeUInt32BE(bodyBytes + 4, 1);
  return header;
}

export const copyDoneMessage: Uint8Array = Buffer.from([0x63, 0, 0, 0, 4]);
