import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ArchiveEntry, ArchiveLayout, SourceFile } from '../../engines/engine.ts';
import type { FilePiece } from '../../repository/repository.ts';
import { planArchiveStream, readArchive } from './archive-stream.ts';

const madeAt = new Date('2026-01-05T03:00:00Z');
const contents = new Map<string, Buffer>();

function file(path: string, sizeBytes: number): ArchiveEntry {
  const source: SourceFile = {
    ...{ path, sizeBytes, mode: 0o100600, modifiedAt: madeAt, pageSizeBytes: 8192 },
  };
  contents.set(path, Buffer.alloc(sizeBytes, path));
  return { kind: 'file', path: `data/${path}`, source };
}

const layout: ArchiveLayout = {
  owner: 'postgres',
  entries: [
    { kind: 'text', path: 'START.txt', mode: 0o600, content: 'Größe' },
    { kind: 'directory', path: 'data', mode: 0o700 },
    file('empty', 0),
    file('one', 1),
    { kind: 'symlink', path: 'data/link', target: '../elsewhere' },
    file(`long-${'n'.repeat(150)}`, 700),
    file('even', 1024),
    file('last', 3000),
  ],
};
const archive = planArchiveStream(layout, madeAt);

async function read(startBytes: number, endBytes: number, chunkBytes = 300): Promise<Buffer> {
  async function* pieces(wanted: Iterable<FilePiece>) {
    for (const { path, startBytes: from, endBytes: to } of wanted) {
      assert.ok(from < to, 'an empty piece was asked for');
      for (let at = from; at < to; at += chunkBytes) {
        yield contents.get(path)?.subarray(at, Math.min(at + chunkBytes, to)) ?? Buffer.alloc(0);
      }
    }
  }
  const found: Uint8Array[] = [];
  for await (const piece of readArchive(archive, { startBytes, endBytes }, pieces)) {
    found.push(piece);
  }
  return Buffer.concat(found);
}

test('the whole is as long as planned, and every span is its slice', async () => {
  const whole = await read(0, archive.sizeBytes);
  assert.equal(whole.byteLength, archive.sizeBytes);
  assert.equal(whole.byteLength % 512, 0);
  const place = fc.integer({ min: 0, max: archive.sizeBytes });
  await fc.assert(
    fc.asyncProperty(place, place, fc.integer({ min: 1, max: 4000 }), async (a, b, chunk) => {
      const [start = 0, end = 0] = [a, b].sort((x, y) => x - y);
      assert.ok((await read(start, end, chunk)).equals(whole.subarray(start, end)));
    }),
    { numRuns: 500 },
  );
});

test('a span asks for no byte of a file that lies outside', async () => {
  const asked: FilePiece[] = [];
  async function* none(wanted: Iterable<FilePiece>): AsyncGenerator<Uint8Array> {
    asked.push(...wanted);
    yield new Uint8Array(0);
  }
  const at = archive.starts.at(-1) ?? 0;
  const stream = readArchive(archive, { startBytes: at + 512 + 100, endBytes: at + 712 }, none);
  await stream.next();
  await stream.return(undefined);
  assert.deepEqual(asked, [{ path: 'last', startBytes: 100, endBytes: 200 }]);
});

test('content that ends too early is an error, never a short stream', async () => {
  async function* short(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1);
  }
  const span = { startBytes: 0, endBytes: archive.sizeBytes };
  const drain = async (): Promise<void> => {
    for await (const _ of readArchive(archive, span, short));
  };
  await assert.rejects(drain, /ended too early/);
});
