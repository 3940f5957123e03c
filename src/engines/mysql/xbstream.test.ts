import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemorySink } from '../../../test/fixtures/memory-sink.ts';
import {
  chunk,
  end,
  payload,
  remove,
  rename,
  seek,
  sparse,
} from '../../../test/fixtures/xbstream-chunks.ts';
import type { CairnError } from '../../model/errors.ts';
import { StreamFiles } from './stream-files.ts';
import type { XbstreamDialect } from './xbstream.ts';
import { XbstreamReader } from './xbstream.ts';

type Read = { readonly events: readonly string[]; readonly pieceCount: number };

/** What the handler gets; the stream comes in pieces of the given size. */
async function read(
  stream: Buffer,
  pieceBytes = stream.length,
  dialect: XbstreamDialect = 'mariadb',
): Promise<Read> {
  const events: string[] = [];
  let text = '';
  let pieceCount = 0;
  const flush = (): void => {
    if (text !== '') events.push(JSON.stringify(text.replaceAll('\0', '_')));
    text = '';
  };
  const note = (event: string): void => {
    flush();
    events.push(event);
  };
  const reader = new XbstreamReader(dialect, {
    payload: (path, { offsetBytes, isRewrite }) =>
      note(`${path} at ${offsetBytes}${isRewrite ? ' anew' : ''}`),
    write(bytes) {
      assert.ok(bytes.byteLength > 0);
      pieceCount++;
      const copy = Buffer.from(bytes).toString();
      // The reader must wait, or the order is lost.
      return pieceCount % 2 === 0
        ? void (text += copy)
        : new Promise((done) =>
            setImmediate(() => {
              text += copy;
              done();
            }),
          );
    },
    end: (path, { isRewrite }) => note(`${path} ends${isRewrite ? ' anew' : ''}`),
    rename: (path, newPath) => note(`${path} becomes ${newPath}`),
    remove: (path) => note(`${path} goes`),
    seek: (path, offsetBytes) => note(`${path} to ${offsetBytes}`),
  });
  for (let at = 0; at < stream.length; at += pieceBytes) {
    await reader.push(stream.subarray(at, at + pieceBytes));
  }
  reader.end();
  flush();
  return { events, pieceCount };
}

const isRefused = (pattern: RegExp) => (error: CairnError) =>
  error.kind === 'engine-refused' && pattern.test(error.message);

const everyKind = Buffer.concat([
  payload('shop/a.ibd', 'hello '),
  payload('log', 'head'),
  payload('shop/a.ibd', 'world', { offsetBytes: 6 }),
  seek('log', 1),
  payload('log', 'E', { offsetBytes: 1 }),
  end('shop/a.ibd'),
  end('log'),
  end('./empty'),
  payload('log', 'new', { isRewrite: true }),
  chunk('E', 'log', { flags: 2 }),
  rename('shop/a.ibd', 'shop/b.ibd'),
  remove('empty'),
  payload('none', ''),
  end('none'),
]);
const everyEvent = [
  ...['shop/a.ibd at 0', '"hello "', 'log at 0', '"head"', 'shop/a.ibd at 6', '"world"'],
  ...['log to 1', 'log at 1', '"E"', 'shop/a.ibd ends', 'log ends', 'empty ends'],
  ...['log at 0 anew', '"new"', 'log ends anew', 'shop/a.ibd becomes shop/b.ibd', 'empty goes'],
  ...['none at 0', 'none ends'],
];

test('every kind of chunk is read, wherever the stream is cut into pieces', async () => {
  for (const pieceBytes of [1, 2, 3, 7, 13, 64, everyKind.length]) {
    assert.deepEqual((await read(everyKind, pieceBytes)).events, everyEvent, `${pieceBytes}`);
  }
});

test('payload is handed on in the pieces in which it came', async () => {
  const { pieceCount } = await read(payload('a', Buffer.alloc(1000, 'x')), 100);
  assert.equal(pieceCount, 11);
});

test('holes of the other dialect become zeros', async () => {
  const stream = Buffer.concat([
    sparse('a', [
      [2, 'ab'],
      [0, 'c'],
      [3, ''],
    ]),
    sparse('a', [[70_000, 'd']], { offsetBytes: 8 }),
    end('a'),
  ]);
  const events = ['a at 0', '"__abc___"', 'a at 8', `"${'_'.repeat(70_000)}d"`, 'a ends'];
  for (const pieceBytes of [1, 5, stream.length]) {
    assert.deepEqual((await read(stream, pieceBytes, 'percona')).events, events);
  }
});

test('a chunk that means something else in the other dialect is refused', async () => {
  await assert.rejects(read(sparse('a', [[2, 'ab']])), isRefused(/./));
  for (const odd of [rename('a', 'b'), remove('a'), payload('a', 'x', { isRewrite: true })]) {
    await assert.rejects(read(odd, odd.length, 'percona'), isRefused(/is of type|has the flags/));
  }
});

test('a wrong checksum is refused, of the map too', async () => {
  await assert.rejects(read(payload('a', 'x', { crc: 1 })), isRefused(/checksum of a part of a/));
  await assert.rejects(read(payload('a', '', { crc: 1 })), isRefused(/checksum/));
  const holes = sparse('a', [[2, 'ab']]);
  holes.writeUInt32LE(3, holes.length - 2 - 8);
  await assert.rejects(read(holes, 9, 'percona'), isRefused(/checksum/));
  const lying = sparse('a', [[2, 'ab']], { length: 1 });
  await assert.rejects(read(lying, 9, 'percona'), isRefused(/leave 2 bytes, and 1 come/));
});

test('a stream that stops within a chunk is refused, whichever', async () => {
  const whole = Buffer.concat([payload('a', 'hello'), rename('a', 'b'), seek('a', 1)]);
  const ends = new Set([0, payload('a', 'hello').length, whole.length - seek('a', 1).length]);
  for (let length = 1; length < whole.length; length++) {
    const cut = read(whole.subarray(0, length));
    if (ends.has(length)) await cut;
    else await assert.rejects(cut, isRefused(/cut off/), `${length}`);
  }
});

test('no path leaves its folder', async () => {
  const odd = ['/etc/x', '../x', 'a/../x', 'a//x', 'a/', './', '.', 'a/./x', 'a\0b'];
  for (const path of [...odd, Buffer.from([0x61, 0xff]), 'a'.repeat(512)]) {
    await assert.rejects(read(payload(path, 'x')), isRefused(/a path has|the path/), `${path}`);
    await assert.rejects(read(end(path)), isRefused(/a path has|the path/), `${path}`);
  }
  await assert.rejects(read(rename('a', '../x')), isRefused(/the path/));
  await assert.rejects(read(chunk('E', '')), isRefused(/a path has 0 bytes/));
  assert.equal((await read(end('a'.repeat(511)))).events.length, 1);
});

test('what is not known is refused: marks, types, flags, numbers', async () => {
  await assert.rejects(read(Buffer.from('HTTP/1.1 400 Bad Request')), isRefused(/no mark/));
  await assert.rejects(read(chunk('Z', 'a')), isRefused(/of type "Z"/));
  await assert.rejects(read(chunk('Z', 'a', { flags: 1 })), isRefused(/of type "Z"/));
  await assert.rejects(read(payload('a', 'x', { flags: 4 })), isRefused(/flags 4/));
  await assert.rejects(read(payload('a', 'x', { offsetBytes: 2n ** 60n })), isRefused(/range/));
  const holes = sparse('a', []);
  holes.writeUInt32LE(70_000, 8 + 2 + 4 + 1);
  await assert.rejects(read(holes, 5, 'percona'), isRefused(/70000 holes/));
});

test('a sparse file is stored with its zeros', async () => {
  const sink = createMemorySink();
  const files = new StreamFiles({
    ...{ sink, innodbPageBytes: 16_384, modifiedAt: new Date(0), isInformation: () => false },
    filterOf: () => null,
  });
  const reader = new XbstreamReader('percona', files);
  await reader.push(Buffer.concat([sparse('a.ibd', [[3, 'x']]), end('a.ibd')]));
  files.assertWhole();
  assert.deepEqual(sink.contents().get('a.ibd'), Buffer.from('\0\0\0x'));
});
