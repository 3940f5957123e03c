import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LogSink } from '../engine.ts';
import { LogClock } from '../log-clock.ts';
import { LogReceiver } from './log-receiver.ts';

const segmentBytes = 64;
const startLsn = 0x1020n;

type Seen = { files: Map<string, Buffer>; complete: string[]; ends: bigint[] };

function createSink(isSlow: boolean): LogSink & { readonly seen: Seen } {
  const seen: Seen = { files: new Map(), complete: [], ends: [] };
  let name = '';
  return {
    seen,
    storedPosition: null,
    beginStream: async () => undefined,
    beginFile(meta) {
      name = meta.name;
      seen.files.set(name, Buffer.alloc(meta.offsetBytes));
    },
    write(bytes) {
      const copy = Buffer.concat([seen.files.get(name) ?? Buffer.alloc(0), bytes]);
      seen.files.set(name, copy);
      return isSlow && bytes.length % 2 === 0 ? Promise.resolve() : undefined;
    },
    mark: ({ position }) => void (position.engine === 'postgresql' && seen.ends.push(position.lsn)),
    endFile: () => void seen.complete.push(name),
  };
}

function create(options: { sink: LogSink; endLsn?: bigint; lastBytes?: Uint8Array }) {
  let answers = 0;
  const receiver = new LogReceiver({
    sink: options.sink,
    clock: new LogClock(),
    segmentBytes,
    start: { engine: 'postgresql', timeline: 1, lsn: startLsn },
    endLsn: options.endLsn ?? null,
    lastBytes: options.lastBytes ?? new Uint8Array(),
    signal: new AbortController().signal,
    onAnswerWanted: () => void answers++,
  });
  return { receiver, answers: () => answers };
}

function logData(lsn: bigint, data: Uint8Array): Buffer {
  const message = Buffer.alloc(25 + data.length);
  message.write('w', 0);
  message.writeBigUInt64BE(lsn, 1);
  message.set(data, 25);
  return message;
}

async function give(receiver: LogReceiver, message: Buffer, cutBytes = 1000): Promise<void> {
  receiver.messageBegin(message.length);
  for (let from = 0; from < message.length; from += cutBytes) {
    await receiver.messagePiece(message.subarray(from, from + cutBytes));
  }
}

test('however the messages are cut, the segments are whole and in order', async () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(
    lengths,
    fc.integer({ min: 1, max: 90 }),
    fc.boolean(),
    async (messages, cutBytes, isSlow) => {
      const sink = createSink(isSlow);
      const { receiver } = create({ sink });
      let lsn = startLsn;
      let next = 0;
      for (const length of messages) {
        const data = Uint8Array.from({ length }, () => next++ % 251);
        await give(receiver, logData(lsn, data), cutBytes);
        lsn += BigInt(length);
      }
      const { files, complete } = sink.seen;
      const all = Buffer.concat([...files.values()]).subarray(32);
      assert.deepEqual(all, Buffer.from(Uint8Array.from({ length: next }, (_, at) => at % 251)));
      assert.deepEqual([...files.keys()], [...files.keys()].sort());
      const whole = [...files].filter(([, bytes]) => bytes.length === segmentBytes);
      assert.deepEqual(
        complete,
        whole.map(([name]) => name),
      );
      assert.equal(receiver.position.lsn, lsn);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('a hole, a repetition, and bytes behind the end are refused', async () => {
  const refused = async (message: Buffer, endLsn?: bigint): Promise<void> => {
    const sink = createSink(false);
    const { receiver } = create({ sink, ...(endLsn === undefined ? {} : { endLsn }) });
    await assert.rejects(async () => await give(receiver, message), { kind: 'engine-refused' });
  };
  await refused(logData(startLsn + 1n, Buffer.alloc(8)));
  await refused(logData(startLsn - 1n, Buffer.alloc(8)));
  await refused(logData(startLsn, Buffer.alloc(9)), startLsn + 8n);
  await refused(Buffer.from('x123'));
  await refused(Buffer.from('w123'));
});

test('the last file of a timeline ends at the fork, and nowhere else', async () => {
  const sink = createSink(false);
  const { receiver } = create({ sink, endLsn: startLsn + 8n });
  assert.throws(() => receiver.end(startLsn + 8n), { kind: 'engine-refused' });
  await give(receiver, logData(startLsn, Buffer.alloc(8)));
  receiver.end(startLsn + 8n);
  assert.equal(sink.seen.complete.length, 1);
  assert.equal(sink.seen.ends.at(-1), startLsn + 8n);
});

test('what is stored is compared and not stored again', async () => {
  const lastBytes = Buffer.from('0123456789');
  const send = logData(startLsn - 10n, Buffer.from('0123456789new'));
  for (const cutBytes of [1, 7, 1000]) {
    const sink = createSink(false);
    const { receiver } = create({ sink, lastBytes });
    await give(receiver, send, cutBytes);
    assert.equal([...sink.seen.files.values()][0]?.toString('latin1').slice(-3), 'new');
    const { receiver: other } = create({ sink: createSink(false), lastBytes });
    const changed = logData(startLsn - 10n, Buffer.from('0123456780new'));
    await assert.rejects(async () => await give(other, changed, cutBytes), { kind: 'log-gap' });
  }
});

test('a server that asks gets an answer', async () => {
  const { receiver, answers } = create({ sink: createSink(false) });
  const keepalive = Buffer.alloc(18);
  keepalive.write('k', 0);
  await give(receiver, keepalive, 5);
  assert.equal(answers(), 0);
  keepalive[17] = 1;
  await give(receiver, keepalive, 5);
  assert.equal(answers(), 1);
});
