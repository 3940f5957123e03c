// MariaDB's own reader is asked about the same streams.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { MemorySink } from '../../../test/fixtures/memory-sink.ts';
import { createMemorySink } from '../../../test/fixtures/memory-sink.ts';
import {
  chunk,
  end,
  extractWithMbstream,
  payload,
  remove,
  rename,
  seek,
} from '../../../test/fixtures/xbstream-chunks.ts';
import type { CairnError } from '../../model/errors.ts';
import { withoutSecrets } from './backup-information.ts';
import { StreamFiles } from './stream-files.ts';
import { XbstreamReader } from './xbstream.ts';

const modifiedAt = new Date(1_767_582_000_000);

async function store(
  stream: Buffer,
  sink: MemorySink = createMemorySink(),
): Promise<{ readonly sink: MemorySink; readonly files: StreamFiles }> {
  const isInformation = (path: string): boolean => path === 'info';
  const filterOf = withoutSecrets;
  const files = new StreamFiles({
    sink,
    innodbPageBytes: 16_384,
    modifiedAt,
    isInformation,
    filterOf,
  });
  const reader = new XbstreamReader('mariadb', files);
  for (let at = 0; at < stream.length; at += 29) await reader.push(stream.subarray(at, at + 29));
  reader.end();
  files.assertWhole();
  return { sink, files };
}

const isRefused = (pattern: RegExp) => (error: CairnError) =>
  error.kind === 'engine-refused' && pattern.test(error.message);

const file = (path: string, content: string): Buffer =>
  Buffer.concat([payload(path, content), end(path)]);

suite('the same files as mbstream extracts', () => {
  const streams: Record<string, readonly Buffer[]> = {
    'one after the other': [file('a', 'hello'), file('d/e', 'deep'), end('empty')],
    'in alternating chunks': [
      payload('a', 'hel'),
      payload('b', 'x'),
      payload('a', 'lo', { offsetBytes: 3 }),
      end('b'),
      end('a'),
    ],
    'begun anew': [
      file('a', 'hello'),
      payload('a', 'XY', { isRewrite: true }),
      payload('a', 'Z', { isRewrite: true, offsetBytes: 2 }),
      end('a'),
    ],
    'begun anew and empty': [file('a', 'hello'), chunk('E', 'a', { flags: 2 })],
    'said to be anew while it is open': [
      payload('a', 'hello'),
      payload('a', 'XY', { isRewrite: true, offsetBytes: 5 }),
      end('a'),
    ],
    'rewritten at the head': [
      payload('a', 'hello'),
      seek('a', 1),
      payload('a', 'EL', { offsetBytes: 1 }),
      end('a'),
    ],
    'appended to after the head': [
      payload('a', 'hello'),
      seek('a', 0),
      payload('a', 'H'),
      seek('a', 5),
      payload('a', '!', { offsetBytes: 5 }),
      end('a'),
    ],
    renamed: [file('d/a', 'hello'), rename('d/a', 'd/b'), file('d/a', 'another')],
    'renamed over another': [file('a', '1'), file('b', '22'), rename('a', 'b')],
    'renamed to itself': [file('a', '1'), rename('a', 'a')],
    'renamed without being there': [rename('a', 'b'), file('c', 'x')],
    removed: [file('a', 'hello'), remove('a'), file('b', 'x'), remove('none')],
    'removed and sent again': [file('a', 'hello'), remove('a'), file('a', 'again')],
  };
  for (const [name, chunks] of Object.entries(streams)) {
    test(name, async () => {
      const stream = Buffer.concat(chunks);
      const expected = extractWithMbstream(stream);
      assert.deepEqual([expected.exitCode, expected.stderr], [0, '']);
      const { sink, files } = await store(stream);
      assert.deepEqual(sink.contents(), expected.files);
      const sizes = [...sink.contents()].map(([path, bytes]) => [path, bytes.length]);
      assert.deepEqual(Object.fromEntries(files.ended), Object.fromEntries(sizes));
    });
  }
});

// Exit code 0 of a reader that has given up: an incomplete backup would be taken for a good one.
suite('what mbstream takes for the end of its work is refused', () => {
  const rest = file('rest', 'x');
  const streams: Record<string, readonly [RegExp, readonly Buffer[]]> = {
    'no end of the last file': [/ib_logfile0 has no end/, [rest, payload('ib_logfile0', 'x')]],
    'a file that came already': [/a came twice/, [file('a', '1'), file('a', '2'), rest]],
    'an end that came already': [/a came twice/, [file('a', '1'), end('a'), rest]],
    'a rename of an open file': [/a is renamed/, [payload('a', '1'), rename('a', 'b'), rest]],
    'a removal of an open file': [/a is renamed/, [payload('a', '1'), remove('a'), rest]],
    'an absolute path': [/not allowed/, [file('/x', '1'), rest]],
    'a path out of the folder': [/not allowed/, [file('../x', '1'), rest]],
    'a rename out of the folder': [/not allowed/, [file('a', '1'), rename('a', '../x'), rest]],
  };
  for (const [name, [pattern, chunks]] of Object.entries(streams)) {
    test(name, async () => {
      const stream = Buffer.concat(chunks);
      assert.equal(extractWithMbstream(stream).exitCode, 0);
      await assert.rejects(store(stream), isRefused(pattern));
    });
  }
});

suite('what mbstream refuses is refused', () => {
  const streams: Record<string, readonly [RegExp, readonly Buffer[]]> = {
    'a part that is missing': [/at 3, not at 2/, [payload('a', 'he'), payload('a', 'l', at(3))]],
    'a part that came already': [/at 0, not at 2/, [payload('a', 'he'), payload('a', 'he')]],
    'a beginning that is missing': [/at 3, not at 0/, [payload('a', 'l', at(3))]],
    'a part behind what was sought': [
      /at 2, not at 1/,
      [payload('a', 'he'), seek('a', 1), payload('a', 'l', at(2))],
    ],
    'a wrong checksum': [/checksum/, [payload('a', 'x', { crc: 7 })]],
  };
  for (const [name, [pattern, chunks]] of Object.entries(streams)) {
    test(name, async () => {
      const stream = Buffer.concat([...chunks, end('a')]);
      assert.equal(extractWithMbstream(stream).exitCode, 1);
      await assert.rejects(store(stream), isRefused(pattern));
    });
  }
});

function at(offsetBytes: number): { readonly offsetBytes: number } {
  return { offsetBytes };
}

test('what cannot be stored as it comes is refused, though mbstream could', async () => {
  const behindHead = [payload('a', 'x'.repeat(9000)), seek('a', 8192), payload('a', 'y', at(8192))];
  await assert.rejects(store(Buffer.concat(behindHead)), isRefused(/written anew at 8192/));
  const beyond = [payload('a', 'x'), seek('a', 5), payload('a', 'y', at(5))];
  await assert.rejects(store(Buffer.concat(beyond)), isRefused(/written anew at 5/));
  const overEnd = [payload('a', 'xx'), seek('a', 1), payload('a', 'yyy', at(1))];
  await assert.rejects(store(Buffer.concat(overEnd)), isRefused(/written anew at 1/));
  await assert.rejects(store(seek('a', 0)), isRefused(/sought before/));
  const many = Array.from({ length: 17 }, (_, index) => payload(`f${index}`, 'x'));
  await assert.rejects(store(Buffer.concat(many)), isRefused(/more than 16/));
});

test('folders come once and before what lies in them, also by a rename', async () => {
  const stream = [file('a/b/c', 'x'), file('a/b/d', 'x'), file('e', 'x'), rename('e', 'f/g')];
  const { sink } = await store(Buffer.concat(stream));
  assert.deepEqual(sink.directories, ['a', 'a/b', 'f']);
});

test('files have the page size of their engine and what they are compared with', async () => {
  const paths = ['ibdata1', 'undo001', 'undo_001', 's/t#P#p0.ibd', 's/t.new', 's/u.ibd.new'];
  const others = ['s/t.MYD', 's/t.MAI', 'ib_logfile0', 'aria_log.00000001'];
  const { sink } = await store(Buffer.concat([...paths, ...others].map((path) => end(path))));
  assert.deepEqual(
    paths.map((path) => sink.metaOf(path)?.pageSizeBytes),
    Array(6).fill(16_384),
  );
  assert.deepEqual(
    others.map((path) => sink.metaOf(path)?.pageSizeBytes),
    Array(4).fill(8192),
  );
  assert.deepEqual(sink.metaOf('s/t.new'), {
    ...{ path: 's/t.new', mode: 0o640, pageSizeBytes: 16_384, modifiedAt },
    comparedWith: 's/t.ibd',
  });
  assert.equal(sink.metaOf('s/u.ibd.new')?.comparedWith, 's/u.ibd');
});

test('the text of information files is kept, and bounded', async () => {
  const { files } = await store(Buffer.concat([file('info', 'a = 1\n'), file('other', 'b')]));
  assert.deepEqual([...files.information], [['info', 'a = 1\n']]);
  await assert.rejects(store(payload('info', 'x'.repeat(65_537))), isRefused(/over 64 KiB/));
});

test('a sink that wants to wait is waited for', async () => {
  let running = 0;
  const sink = createMemorySink(async () => {
    assert.equal(++running, 1);
    await new Promise((done) => setImmediate(done));
    running--;
  });
  await store(Buffer.concat([file('a', 'x'.repeat(300)), file('b', 'y'.repeat(300))]), sink);
  assert.equal(sink.contents().get('b')?.length, 300);
});
