// Pieces of files as a download reads them: in order, from the middle, across backups, and never a
// wrong byte.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { isErrorKind } from '../src/model/errors.ts';
import type { FilePiece, RepositoryReader } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles, TestRepository } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const pageBytes = 8192;
const large = 'base/1/large';

/** Random pages, a long hole, a last page that is not whole; text that shrinks. */
function makeFiles(): ModelFiles {
  const content = Buffer.concat([
    randomBytes(300 * pageBytes),
    Buffer.alloc(2000 * pageBytes),
    randomBytes(40 * pageBytes + 123),
  ]);
  const files: ModelFiles = new Map([
    [large, content],
    ['empty', Buffer.alloc(0)],
    ['PG_VERSION', Buffer.from('18\n')],
    ['zeros', Buffer.alloc(5 * pageBytes)],
  ]);
  for (let n = 0; n < 50; n++) files.set(`base/1/${n}`, Buffer.alloc(3 * pageBytes, `text ${n} `));
  return files;
}

let parts: TestRepository;
let reader: RepositoryReader;
let files: ModelFiles;
const storage = new MemoryStorage();

before(async () => {
  parts = await openTestRepository(storage);
  files = makeFiles();
  await storeFiles(parts.repository, files, { backupId: testBackupId(1) });
  const content = files.get(large) as Buffer;
  // Pages here and there belong to later backups: the file is spread over packs of three.
  for (const generation of [2, 3]) {
    for (let page = generation; page < 300; page += 7) {
      randomBytes(pageBytes).copy(content, page * pageBytes);
    }
    const backupId = testBackupId(generation);
    const previousBackupId = testBackupId(generation - 1);
    await storeFiles(parts.repository, files, { backupId, previousBackupId });
  }
  reader = await parts.repository.openReader(testInstanceId, testBackupId(3), never);
});
after(() => parts.repository[Symbol.asyncDispose]());

async function collect(pieces: readonly FilePiece[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reader.stream(pieces, never)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function expected(pieces: readonly FilePiece[]): Buffer {
  return Buffer.concat(
    pieces.map(({ path, startBytes, endBytes }) =>
      (files.get(path) as Buffer).subarray(startBytes, endBytes),
    ),
  );
}

describe('pieces of files', () => {
  test('all files, whole', async () => {
    const pieces = [...files].map(([path, { byteLength }]) => {
      return { path, startBytes: 0, endBytes: byteLength };
    });
    assert.ok((await collect(pieces)).equals(expected(pieces)));
  });

  test('any pieces of any files in any order', async () => {
    const paths = [...files].filter(([, { byteLength }]) => byteLength > 0).map(([path]) => path);
    const piece = fc
      .tuple(fc.oneof(fc.constant(large), fc.constantFrom(...paths)), fc.nat(), fc.nat(900_000))
      .map(([path, place, length]): FilePiece => {
        const sizeBytes = files.get(path)?.byteLength ?? 0;
        const startBytes = place % sizeBytes;
        return { path, startBytes, endBytes: Math.min(sizeBytes, startBytes + 1 + length) };
      });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
        assert.ok((await collect(pieces)).equals(expected(pieces)));
      }),
      { numRuns: 60 },
    );
  });

  test('no chunk holds bytes of two pieces', async () => {
    const pieces = [...files.keys()]
      .filter((path) => path.startsWith('base/1/') && path !== large)
      .map((path) => ({ path, startBytes: 5, endBytes: 10_000 }));
    const ends = new Set<number>();
    let at = 0;
    for await (const chunk of reader.stream(pieces, never)) {
      at += chunk.byteLength;
      ends.add(at);
    }
    for (const index of pieces.keys()) assert.ok(ends.has((index + 1) * 9_995), `piece ${index}`);
    assert.equal(at, pieces.length * 9_995);
  });

  test('an unknown file is not found', async () => {
    const pieces = [{ path: 'nowhere', startBytes: 0, endBytes: 1 }];
    await assert.rejects(collect(pieces), (error) => isErrorKind(error, 'not-found'));
  });

  test('who stops asking stops the reading', async () => {
    const size = files.get(large)?.byteLength ?? 0;
    const pieces = Array.from({ length: 20 }, () => ({
      path: large,
      startBytes: 0,
      endBytes: size,
    }));
    let asked = 0;
    function* counted() {
      for (const piece of pieces) {
        asked++;
        yield piece;
      }
    }
    for await (const _ of reader.stream(counted(), never)) break;
    assert.ok(asked <= 3, `${asked} files were opened for one chunk`);
  });

  test('an aborted signal ends it', async () => {
    const stop = new AbortController();
    const size = files.get(large)?.byteLength ?? 0;
    const stream = reader.stream([{ path: large, startBytes: 0, endBytes: size }], stop.signal);
    await stream.next();
    stop.abort();
    const drain = async (): Promise<void> => {
      for await (const _ of stream);
    };
    await assert.rejects(drain, { name: 'AbortError' });
  });
});

test('a flipped bit in a pack ends the stream; no byte of the frame comes out', async () => {
  const damaged = new MemoryStorage();
  const { repository } = await openTestRepository(damaged);
  await using _ = repository;
  const content = randomBytes(30 * 1024 * 1024);
  await storeFiles(repository, new Map([[large, content]]), { backupId: testBackupId(1) });
  const names: string[] = [];
  for await (const { name } of damaged.list('instances/', never)) names.push(name);
  const pack = names.find((name) => name.includes('pack')) as string;
  const bytes = await damaged.read(pack, null, never);
  bytes.writeUInt8(bytes.readUInt8(bytes.byteLength >> 1) ^ 1, bytes.byteLength >> 1);
  await damaged.delete(pack, never);
  await damaged.createExclusive(pack, bytes, never);
  const hurt = await repository.openReader(testInstanceId, testBackupId(1), never);
  const pieces = [{ path: large, startBytes: 0, endBytes: content.byteLength }];
  let right = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of hurt.stream(pieces, never)) {
        assert.ok(content.subarray(right, right + chunk.byteLength).equals(chunk));
        right += chunk.byteLength;
      }
    },
    (error) => isErrorKind(error, 'repository-damaged'),
  );
  assert.ok(right > 0 && right < content.byteLength, `${right} bytes came out`);
});
