import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ArchiveReceiver } from './archive-receiver.ts';

type File = { path: string; content: string };

function tarHeader(path: string, type: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write('0000600\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write(`00000000000\0`, 136);
  block.write(type, 156);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function archive(files: readonly File[]): Buffer {
  const parts = files.flatMap(({ path, content }) => {
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
    return [tarHeader(path, '0', content.length), Buffer.from(content), padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function manifest(files: readonly { path: string; size: number }[]): Buffer {
  const lines = files.map(({ path, size }) => `{ "Path": "${path}", "Size": ${size} }`);
  const body = `{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n${lines.join(',\n')}\n],\n`;
  const checksum = createHash('sha256').update(body).digest('hex');
  return Buffer.from(`${body}"Manifest-Checksum": "${checksum}"}\n`);
}

const message = (kind: string, body: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from(kind), Buffer.from(body)]);

function createReceiver() {
  const kept: Record<string, string> = {};
  const progress: [number, number | null][] = [];
  let path = '';
  const receiver = new ArchiveReceiver({
    sink: {
      directory: () => undefined,
      beginFile(meta) {
        path = meta.path;
        kept[path] = '';
      },
      write(bytes) {
        kept[path] += Buffer.from(bytes).toString('utf8');
        return undefined;
      },
      endFile: () => undefined,
    },
    toStored: async (manifest) => manifest,
    blockSizeBytes: 8192,
    estimateBytes: () => 1000,
    onProgress: (doneBytes, totalBytes) => void progress.push([doneBytes, totalBytes]),
    now: () => new Date(0),
  });
  receiver.begin([]);
  return { receiver, kept, progress };
}

async function feed(messages: readonly Buffer[], step = 7): Promise<Record<string, string>> {
  const { receiver, kept } = createReceiver();
  for (const bytes of messages) {
    receiver.messageBegin(bytes.length);
    for (let at = 0; at < bytes.length; at += step) {
      await receiver.messagePiece(bytes.subarray(at, at + step));
    }
  }
  await receiver.end();
  return kept;
}

const progressBody = Buffer.from([0, 0, 0, 0, 0, 0, 1, 0]);
const far = archive([{ path: 'PG_15/5/16386', content: 'far rows' }]);
const base = archive([
  { path: 'base/5/1', content: 'rows' },
  { path: 'pg_wal/000000010000000000000002', content: 'log' },
]);
const listed = [
  { path: 'base/5/1', size: 4 },
  { path: 'pg_tblspc/16385/PG_15/5/16386', size: 8 },
];
const whole = (files = listed): Buffer[] => [
  message('n', '16385.tar\0/srv/far\0'),
  message('d', far.subarray(0, 700)),
  message('p', progressBody),
  message('d', far.subarray(700)),
  message('n', 'base.tar\0\0'),
  message('d', base),
  message('m', ''),
  message('d', manifest(files)),
];

test('archives and manifest become files, whatever the cuts', async () => {
  for (const step of [1, 7, 511, 100_000]) {
    assert.deepEqual(await feed(whole(), step), {
      'pg_tblspc/16385/PG_15/5/16386': 'far rows',
      'base/5/1': 'rows',
      'pg_wal/000000010000000000000002': 'log',
      backup_manifest: manifest(listed).toString('utf8'),
    });
  }
});

test('progress is told with the estimate', async () => {
  const { receiver, progress } = createReceiver();
  receiver.messageBegin(9);
  await receiver.messagePiece(message('p', progressBody));
  assert.deepEqual(progress, [
    [0, 1000],
    [256, 1000],
  ]);
});

const [first = { path: '', size: 0 }, second = { path: '', size: 0 }] = listed;
const broken: [string, Buffer[], RegExp][] = [
  ['a file that did not come', whole([...listed, { path: 'x', size: 1 }]), /x was announced and/],
  ['a file that was not announced', whole([first]), /16386 came and was not announced/],
  [
    'a size that differs',
    whole([{ ...first, size: 5 }, second]),
    /base\/5\/1 .* 5 bytes and has 4/,
  ],
  ['no manifest', whole().slice(0, 6), /no manifest/],
  ['a cut archive', [...whole().slice(0, 2), ...whole().slice(4)], /cut off|end is missing/],
  ['the same file twice', [...whole().slice(0, 6), ...whole().slice(4)], /base\/5\/1 twice/],
  ['an unknown message', [message('x', 'y')], /kind 120/],
  ['data before an archive', [message('d', 'y')], /data before an archive/],
  ['a strange archive', [message('n', '../x.tar\0\0')], /an archive named/],
  [
    'a link to elsewhere',
    [message('n', 'base.tar\0\0'), message('d', tarHeader('base', '2', 0))],
    /a link at base/,
  ],
];

for (const [name, messages, pattern] of broken) {
  test(`${name} is refused`, async () => {
    await assert.rejects(
      async () => await feed(messages),
      (error) => error instanceof Error && pattern.test(error.message),
    );
  });
}
