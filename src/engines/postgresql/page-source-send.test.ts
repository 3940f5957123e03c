import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../platform/clock.ts';
import type { FileMeta, FileSink } from '../engine.ts';
import { crc32c } from './crc32c.ts';
import { pageChecksum } from './page-checksum.ts';
import { isWholeControlFile, readControlFile } from './page-source-control.ts';
import type { ListedFile } from './page-source-list.ts';
import { planRequests } from './page-source-plan.ts';
import type { PageLanes, RangeContents } from './page-source-read.ts';
import { PageSender } from './page-source-send.ts';

const blockSizeBytes = 8192;
const signal = new AbortController().signal;
const noPauses = { ...systemClock, sleep: () => Promise.resolve() };

function makePage(block: number, fill: number): Buffer {
  const page = Buffer.alloc(blockSizeBytes, fill);
  page.writeUInt32LE(0, 0);
  page.writeUInt32LE(0x100, 4);
  page.writeUInt16LE(0x80, 14);
  page.writeUInt16LE(pageChecksum(page, block), 8);
  return page;
}

type Told = { readonly files: FileMeta[]; readonly bytes: Buffer[]; ended: number };

function send(
  files: readonly ListedFile[],
  contents: RangeContents,
  rereads: readonly (Buffer | null)[] = [],
  need?: 'whole-files',
): Promise<Told> {
  const told: Told = { files: [], bytes: [], ended: 0 };
  const sink: FileSink = {
    directory: () => assert.fail('no folder'),
    beginFile: (meta) => void told.files.push(meta),
    write: (bytes) => void told.bytes.push(Buffer.from(bytes)),
    beginIncrement: (meta) => void told.files.push(meta),
    keep: () => undefined,
    endFile: () => void told.ended++,
    beginGrowing: () => assert.fail('every size is known'),
    renameFile: () => assert.fail('nothing is renamed'),
    removeFile: () => assert.fail('nothing is removed'),
  };
  const left = [...rereads];
  const sender = new PageSender({
    ...{ sink, blockSizeBytes, signal, clock: noPauses, fileMode: 0o600, segmentBlocks: 100 },
    session: { readBytes: () => Promise.resolve(left.shift() ?? null) },
    check: { blockSizeBytes, startLsn: 0x200n },
    onBytes: () => undefined,
  });
  const rest = [...contents];
  const lanes: Pick<PageLanes, 'read'> = {
    async *read(requests) {
      for (const request of requests) {
        yield { request, contents: rest.splice(0, request.ranges.length) };
      }
    },
  };
  const work = sender.sendFiles(
    lanes,
    planRequests(files, () => false),
    need,
  );
  return work.then(() => told);
}

const table = (blocks: number, segment = 0): ListedFile => {
  const sizeBytes = blocks * blockSizeBytes;
  return { path: 'base/5/1', sizeBytes, modifiedSeconds: 5, relation: { segment } };
};

describe('a file that changes while it is read', () => {
  it('is left out when it has gone, also when it is seen again later', async () => {
    const large = table(40);
    assert.deepEqual((await send([large], [null, makePage(0, 1)])).files, []);
  });

  it('ends in zeros when it is shorter', async () => {
    const told = await send([table(3)], [makePage(0, 1)]);
    assert.deepEqual(Buffer.concat(told.bytes).subarray(8192), Buffer.alloc(2 * 8192));
    assert.equal(told.files[0]?.sizeBytes, 3 * 8192);
    assert.equal(told.ended, 1);
  });

  it('is sent as it is found when it is small and no relation', async () => {
    const file = { ...table(1), path: 'postgresql.auto.conf', sizeBytes: 5, relation: null };
    const told = await send([file], [Buffer.from('longer than it was')]);
    assert.equal(told.files[0]?.sizeBytes, 18);
  });

  it('fails the backup when it is log, in its middle too', async () => {
    const segment = { ...table(1), path: 'pg_wal/1', sizeBytes: 9 * 1024 * 1024, relation: null };
    const first = Buffer.alloc(256 * 1024);
    await assert.rejects(send([segment], [first, null], [], 'whole-files'), { kind: 'log-gap' });
  });
});

describe('a page with a wrong checksum', () => {
  const torn = (): Buffer => {
    const page = makePage(1, 1);
    makePage(1, 2).copy(page, 4096, 4096);
    return page;
  };

  it('is read again until it is whole', async () => {
    const content = Buffer.concat([makePage(0, 1), torn()]);
    const told = await send([table(2)], [content], [torn(), torn(), makePage(1, 2)]);
    assert.deepEqual(Buffer.concat(told.bytes), Buffer.concat([makePage(0, 1), makePage(1, 2)]));
  });

  it('is zeros when the file has been cut off before it', async () => {
    const told = await send([table(2)], [Buffer.concat([makePage(0, 1), torn()])], [null]);
    assert.deepEqual(Buffer.concat(told.bytes).subarray(8192), Buffer.alloc(8192));
  });

  it('fails the backup with file and block when it stays', async () => {
    const content = Buffer.concat([makePage(200, 1), torn()]);
    const tries = Array.from({ length: 9 }, torn);
    await assert.rejects(send([table(2, 2)], [content], tries), {
      kind: 'engine-refused',
      message: 'the server has damaged pages: base/5/1, block 1',
    });
  });
});

describe('pg_control', () => {
  const whole = Buffer.alloc(8192);
  whole.write('some state of the server');
  whole.writeUInt32LE(crc32c(whole.subarray(0, 288)), 288);
  const torn = Buffer.from(whole);
  torn.write('other', 100);

  it('is read again while it is half-written', async () => {
    assert.ok(isWholeControlFile(whole) && !isWholeControlFile(torn));
    const answers = [torn, null, whole.subarray(0, 100), whole];
    const session = { readBytes: () => Promise.resolve(answers.shift() ?? null) };
    assert.deepEqual(await readControlFile(session, { clock: noPauses, signal }), whole);
  });

  it('fails the backup when it never comes whole', async () => {
    const session = { readBytes: () => Promise.resolve(torn) };
    await assert.rejects(readControlFile(session, { clock: noPauses, signal }), {
      kind: 'engine-refused',
    });
  });
});
