import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planIncrement, toWholePath } from './increment-file.ts';
import { IncrementReader } from './increment-reader.ts';

const block = 512;

/** An increment as the server writes it; each block is filled with its number. */
function makeIncrement(blocks: readonly number[], truncation: number, bigEndian = false): Buffer {
  const words = [0xd3ae1f0d, blocks.length, truncation, ...blocks];
  const head = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) {
    if (bigEndian) head.writeUInt32BE(word, i * 4);
    else head.writeUInt32LE(word, i * 4);
  }
  const padding = blocks.length === 0 ? 0 : (block - (head.length % block)) % block;
  return Buffer.concat([head, Buffer.alloc(padding), ...blocks.map((n) => Buffer.alloc(block, n))]);
}

/** The whole file, with a `k` for each byte that is kept, from pieces of so many bytes. */
async function read(
  sent: Buffer,
  previousBytes: number,
  pieceBytes = 100,
): Promise<{ sizeBytes: number; isUnchanged: boolean; bytes: Buffer }> {
  const pieces: Buffer[] = [];
  let begun = { sizeBytes: -1, isUnchanged: false };
  let isBusy = false;
  const slow = async (): Promise<void> => {
    assert.ok(!isBusy, 'called before it was done');
    isBusy = true;
    await new Promise((done) => setImmediate(done));
    isBusy = false;
  };
  const options = { path: 'base/5/1', sentBytes: sent.length, previousBytes };
  const reader = new IncrementReader(
    { ...options, blockSizeBytes: block },
    {
      begin: (sizeBytes, isUnchanged) => {
        begun = { sizeBytes, isUnchanged };
      },
      keep: (sizeBytes) => {
        pieces.push(Buffer.alloc(sizeBytes, 'k'));
        return slow();
      },
      write: (bytes) => {
        pieces.push(Buffer.from(bytes));
        return pieces.length % 2 === 0 ? slow() : undefined;
      },
    },
  );
  for (let at = 0; at < sent.length; at += pieceBytes) {
    await reader.push(sent.subarray(at, at + pieceBytes));
  }
  reader.end();
  return { ...begun, bytes: Buffer.concat(pieces) };
}

/** One character for each block. */
function picture(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += block) {
    const value = bytes[at] ?? 0;
    assert.ok(bytes.subarray(at, at + block).every((byte) => byte === value));
    text += value === 0x6b ? 'k' : String(value);
  }
  return text;
}

test('blocks that came lie between those that are kept, however the bytes are cut', async () => {
  for (const pieceBytes of [1, 7, 12, 13, 512, 513, 100_000]) {
    for (const bigEndian of [false, true]) {
      const sent = makeIncrement([1, 2, 5], 7, bigEndian);
      const { sizeBytes, bytes } = await read(sent, 7 * block, pieceBytes);
      assert.equal(sizeBytes, 7 * block);
      assert.equal(picture(bytes), 'k12kk5k');
    }
  }
});

test('what the previous file does not have is zeros, also after a part of a block', async () => {
  assert.equal(picture((await read(makeIncrement([3], 6), 2 * block)).bytes), 'kk0300');
  assert.equal(picture((await read(makeIncrement([3], 6), 2 * block + 100)).bytes), 'kk0300');
  assert.equal(picture((await read(makeIncrement([], 3), 0)).bytes), '000');
});

test('what lies behind the truncation is not kept', async () => {
  const { sizeBytes, bytes } = await read(makeIncrement([4], 2), 9 * block);
  assert.equal(sizeBytes, 5 * block);
  assert.equal(picture(bytes), 'kk004');
  assert.equal(picture((await read(makeIncrement([], 2), 9 * block)).bytes), 'kk');
});

test('a file is unchanged only with no block sent and the same size', async () => {
  assert.equal((await read(makeIncrement([], 3), 3 * block)).isUnchanged, true);
  assert.equal((await read(makeIncrement([], 3), 4 * block)).isUnchanged, false);
  assert.equal((await read(makeIncrement([0], 3), 3 * block)).isUnchanged, false);
});

test('an increment that is none, is out of order or of another size is refused', async () => {
  const refusal = { kind: 'engine-refused', message: /increment of base\/5\/1 is unusable/ };
  const whole = makeIncrement([1, 2], 4);
  const otherMagic = Buffer.from(whole).fill(1, 0, 1);
  for (const sent of [
    otherMagic,
    makeIncrement([2, 1], 4),
    makeIncrement([1, 1], 4),
    whole.subarray(0, -1),
    Buffer.concat([whole, Buffer.alloc(1)]),
    whole.subarray(0, 11),
    whole.subarray(0, 40),
    Buffer.concat([makeIncrement([], 1), Buffer.alloc(block)]),
  ]) {
    await assert.rejects(read(sent, 4 * block), refusal);
  }
});

test('a run is one step, however long', () => {
  const header = { lengthBytes: 12, truncationBlocks: 100_000, blocks: [] };
  const plan = planIncrement(header, { blockSizeBytes: 8192, previousBytes: 8192 });
  assert.deepEqual(plan.steps, [
    { kind: 'keep', sizeBytes: 8192 },
    { kind: 'zero', sizeBytes: 99_999 * 8192 },
  ]);
});

test('only files of relations are increments', () => {
  const whole = (path: string) => toWholePath(path);
  assert.equal(whole('base/5/INCREMENTAL.1259'), 'base/5/1259');
  assert.equal(whole('base/5/INCREMENTAL.1259_vm.3'), 'base/5/1259_vm.3');
  assert.equal(whole('global/INCREMENTAL.1260'), 'global/1260');
  const away = 'pg_tblspc/16400/PG_17_202406281/5/';
  assert.equal(whole(`${away}INCREMENTAL.16401`), `${away}16401`);
  for (const path of [
    'INCREMENTAL.1',
    'base/5/1259',
    'pg_wal/INCREMENTAL.1',
    'base/5/x/INCREMENTAL.1',
  ]) {
    assert.equal(whole(path), null);
  }
});
