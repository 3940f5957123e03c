import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageFramer } from './message-framer.ts';

type Message = { type: string; body: string };

function encode({ type, body }: Message): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type, 0, 'latin1');
  bytes.writeUInt32BE(4 + body.length, 1);
  bytes.write(body, 5, 'latin1');
  return bytes;
}

async function decode(bytes: Buffer, cuts: readonly number[]): Promise<Message[]> {
  const messages: Message[] = [];
  let copyLeft = 0;
  const framer = new MessageFramer({
    message: (type, body) => void messages.push({ type, body: body.toString('latin1') }),
    copyBegin(bodyBytes) {
      assert.equal(copyLeft, 0);
      copyLeft = bodyBytes;
      messages.push({ type: 'd', body: '' });
    },
    copyPiece(piece) {
      copyLeft -= piece.length;
      const last = messages.at(-1);
      assert.ok(last?.type === 'd' && copyLeft >= 0);
      last.body += piece.toString('latin1');
      return copyLeft % 2 === 0 ? Promise.resolve() : undefined;
    },
  });
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  places.sort((a, b) => a - b);
  for (const [index, from] of places.entries()) {
    await framer.push(bytes.subarray(from, places[index + 1] ?? from));
  }
  assert.equal(copyLeft, 0);
  return messages;
}

test('whatever the cuts, the messages come out as they went in', async () => {
  const message = fc
    .tuple(
      fc.constantFrom('d', 'd', 'T', 'D', 'C', 'Z', 'c', 'N'),
      fc.string({ maxLength: 60, unit: 'binary-ascii' }),
    )
    .map(([type, body]) => ({ type, body }));
  const property = fc.asyncProperty(
    fc.array(message, { maxLength: 12 }),
    fc.array(fc.nat(800), { maxLength: 30 }),
    async (messages, cuts) => {
      assert.deepEqual(await decode(Buffer.concat(messages.map(encode)), cuts), messages);
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test('bytes that are no message are refused', async () => {
  await assert.rejects(async () => await decode(Buffer.from('HTTP/1.1 400 Bad Request'), []), {
    kind: 'engine-unreachable',
  });
  await assert.rejects(async () => await decode(Buffer.from([0x54, 0, 0, 0, 3]), []), {
    kind: 'engine-unreachable',
  });
});
