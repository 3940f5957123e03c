import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isErrorKind } from '../../model/errors.ts';
import type { TarEntry } from './tar-reader.ts';
import { TarReader } from './tar-reader.ts';

type Item =
  | { kind: 'file'; path: string; content: Buffer }
  | { kind: 'directory'; path: string }
  | { kind: 'symlink'; path: string; target: string };

type HeaderFields = {
  name: string;
  prefix?: string;
  type: string;
  target?: string;
  size: Buffer | string;
};

function header(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(512);
  block.write(fields.name, 0, 100, 'utf8');
  block.write('0000640\0', 100, 'latin1');
  if (typeof fields.size === 'string') block.write(fields.size, 124, 'latin1');
  else fields.size.copy(block, 124);
  block.write('14370723370\0', 136, 'latin1');
  block.write(fields.type, 156, 'latin1');
  block.write(fields.target ?? '', 157, 100, 'utf8');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(fields.prefix ?? '', 345, 155, 'utf8');
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;

function base256(value: number): Buffer {
  const field = Buffer.alloc(12);
  field[0] = 0x80;
  field.writeBigUInt64BE(BigInt(value), 4);
  return field;
}

function pack(items: readonly Item[], size: (value: number) => Buffer | string = octal): Buffer {
  const parts = items.flatMap((item) => {
    if (item.kind === 'directory') return [header({ name: item.path, type: '5', size: octal(0) })];
    if (item.kind === 'symlink') {
      return [header({ name: item.path, type: '2', target: item.target, size: octal(0) })];
    }
    const { length } = item.content;
    const padding = Buffer.alloc((512 - (length % 512)) % 512);
    return [header({ name: item.path, type: '0', size: size(length) }), item.content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** Reads the stream in pieces cut at the given places; every third write makes the reader wait. */
async function unpack(bytes: Buffer, cuts: readonly number[]): Promise<Item[]> {
  const items: Item[] = [];
  let open: { path: string; left: number; pieces: Buffer[] } | null = null;
  let isWaiting = false;
  let writes = 0;
  const reader = new TarReader({
    directory: ({ path }) => void items.push({ kind: 'directory', path }),
    symlink: ({ path }, target) => void items.push({ kind: 'symlink', path, target }),
    beginFile({ path, sizeBytes }) {
      assert.equal(open, null);
      open = { path, left: sizeBytes, pieces: [] };
    },
    write(piece) {
      assert.equal(isWaiting, false, 'written while waiting');
      assert.ok(open && piece.length > 0);
      open.pieces.push(Buffer.from(piece));
      open.left -= piece.length;
      if (writes++ % 3 !== 0) return undefined;
      isWaiting = true;
      return Promise.resolve().then(() => {
        isWaiting = false;
      });
    },
    endFile() {
      assert.ok(open && !isWaiting);
      assert.equal(open.left, 0);
      items.push({ kind: 'file', path: open.path, content: Buffer.concat(open.pieces) });
      open = null;
    },
  });
  const places = [...new Set([0, ...cuts.map((cut) => cut % bytes.length), bytes.length])];
  places.sort((a, b) => a - b);
  for (const [index, from] of places.entries()) {
    await reader.push(bytes.subarray(from, places[index + 1] ?? from));
  }
  reader.end();
  return items;
}

const nameArbitrary = fc.stringMatching(/^[a-z]{1,9}$/);
const contentArbitrary = fc
  .oneof(fc.constantFrom(0, 1, 511, 512, 513, 1024, 8192), fc.nat(3000))
  .map((length) => Buffer.from(Array.from({ length }, (_, at) => (at * 31 + length) & 0xff)));
const itemArbitrary: fc.Arbitrary<Item> = fc.oneof(
  fc
    .tuple(fc.stringMatching(/^[a-z]{1,8}(\/[a-z0-9_]{1,8}){0,3}$/), contentArbitrary)
    .map(([path, content]): Item => ({ kind: 'file', path, content })),
  nameArbitrary.map((path): Item => ({ kind: 'directory', path })),
  fc
    .tuple(nameArbitrary, nameArbitrary)
    .map(([path, name]): Item => ({ kind: 'symlink', path, target: `/${name}` })),
);

test('whatever the cuts, the entries come out as they went in', async () => {
  const property = fc.asyncProperty(
    fc.array(itemArbitrary, { maxLength: 8 }),
    fc.array(fc.nat(20_000), { maxLength: 40 }),
    fc.boolean(),
    async (items, cuts, isBase256) => {
      const bytes = pack(items, isBase256 ? base256 : octal);
      assert.deepEqual(await unpack(bytes, cuts), items);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('byte by byte', async () => {
  const items: Item[] = [
    { kind: 'directory', path: 'base' },
    { kind: 'file', path: 'base/1', content: Buffer.from('hello') },
    { kind: 'file', path: 'base/2', content: Buffer.alloc(0) },
  ];
  const bytes = pack(items);
  assert.deepEqual(await unpack(bytes, [...bytes.keys()]), items);
});

test('a stream cut anywhere is an error', async () => {
  const property = fc.asyncProperty(
    fc.array(itemArbitrary, { minLength: 1, maxLength: 4 }),
    fc.nat(),
    async (items, place) => {
      const bytes = pack(items);
      const cut = bytes.subarray(0, place % bytes.length);
      await assert.rejects(
        async () => await unpack(cut, []),
        (error) => isErrorKind(error, 'engine-refused'),
      );
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('one changed bit of a header is an error', async () => {
  const property = fc.asyncProperty(fc.nat(511), fc.nat(7), async (at, bit) => {
    const bytes = pack([{ kind: 'file', path: 'base/1', content: Buffer.from('x') }]);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
    // Blanks and zeros around the checksum's own digits say nothing.
    fc.pre(at < 148 || at >= 156 || ![0x00, 0x20].includes(bytes[at] ?? 0));
    await assert.rejects(async () => await unpack(bytes, []));
  });
  await fc.assert(property, { numRuns: 300 });
});

test('paths that leave the folder are refused', async () => {
  for (const name of ['/etc/passwd', '../x', 'base/../../x', 'base//x', '.', 'a/./b', '..']) {
    const bytes = Buffer.concat([header({ name, type: '0', size: octal(0) }), Buffer.alloc(1024)]);
    await assert.rejects(async () => await unpack(bytes, []), /is not allowed/, name);
  }
});

test('prefix, mode and time are read', async () => {
  const entries: TarEntry[] = [];
  const reader = new TarReader({
    directory: (entry) => void entries.push(entry),
    symlink: () => assert.fail(),
    beginFile: () => assert.fail(),
    write: () => assert.fail(),
    endFile: () => assert.fail(),
  });
  await reader.push(header({ name: 'x/', prefix: 'a/b', type: '5', size: octal(0) }));
  await reader.push(Buffer.alloc(1024));
  reader.end();
  const modifiedAt = new Date(0o14370723370 * 1000);
  assert.deepEqual(entries, [{ path: 'a/b/x', mode: 0o640, modifiedAt, sizeBytes: 0 }]);
});

test('sizes over 8 GiB are announced in full', async () => {
  const sizes: number[] = [];
  const reader = new TarReader({
    directory: () => assert.fail(),
    symlink: () => assert.fail(),
    beginFile: ({ sizeBytes }) => void sizes.push(sizeBytes),
    write: () => undefined,
    endFile: () => assert.fail(),
  });
  const sizeBytes = 20 * 1024 ** 3 + 7;
  await reader.push(header({ name: 'big', type: '0', size: base256(sizeBytes) }));
  assert.deepEqual(sizes, [sizeBytes]);
  assert.throws(() => reader.end(), /cut off/);
});

test('special files and data after the end are refused', async () => {
  const device = Buffer.concat([
    header({ name: 'dev', type: '3', size: octal(0) }),
    Buffer.alloc(1024),
  ]);
  await assert.rejects(async () => await unpack(device, []), /is of type 3/);
  const twice = Buffer.concat([pack([]), pack([{ kind: 'directory', path: 'x' }])]);
  await assert.rejects(async () => await unpack(twice, []), /follows its end/);
});
