import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CopyRows } from './page-source-copy.ts';

const header = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const end = Buffer.from([0xff, 0xff]);

function row(number: number, content: Buffer | null): Buffer {
  const head = Buffer.alloc(14);
  head.writeInt16BE(2, 0);
  head.writeInt32BE(4, 2);
  head.writeInt32BE(number, 6);
  head.writeInt32BE(content?.length ?? -1, 10);
  return Buffer.concat([head, content ?? Buffer.alloc(0)]);
}

function receive(bytes: Buffer, sizesMax: readonly number[], pieceBytes: number) {
  const rows = new CopyRows({ sizesMax, allocate: (size) => Buffer.alloc(size) });
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    rows.messagePiece(bytes.subarray(at, at + pieceBytes));
  }
  return rows.end();
}

const contents = [Buffer.from('first'), null, Buffer.alloc(0), Buffer.alloc(1000, 7)];
const whole = Buffer.concat([header, ...contents.map((content, at) => row(at, content)), end]);

describe('rows of a binary copy', () => {
  it('come out whole, wherever the messages are cut', () => {
    for (const pieceBytes of [1, 2, 3, 7, 19, 20, 64, whole.length]) {
      assert.deepEqual(receive(whole, [5, 9, 0, 1000], pieceBytes), contents);
    }
  });

  it('skip an extension of the header', () => {
    const extended = Buffer.from(header);
    extended.writeUInt32BE(3, 15);
    const bytes = Buffer.concat([extended, Buffer.from('abc'), row(0, contents[0] ?? null), end]);
    assert.deepEqual(receive(bytes, [5], 4), [contents[0]]);
  });

  it('are refused when some are missing, in disorder, too long or followed by more', () => {
    const refused = (bytes: Buffer, sizesMax: readonly number[]) =>
      assert.throws(() => receive(bytes, sizesMax, 8), { kind: 'engine-refused' });
    refused(whole.subarray(0, -2), [5, 9, 0, 1000]);
    refused(whole, [5, 9, 0, 1000, 1]);
    refused(whole, [5, 9, 0, 999]);
    refused(Buffer.concat([whole, Buffer.from('x')]), [5, 9, 0, 1000]);
    refused(Buffer.concat([header, row(1, null), end]), [5]);
    refused(Buffer.concat([Buffer.from('X'), whole.subarray(1)]), [5, 9, 0, 1000]);
  });
});
