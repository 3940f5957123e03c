// What many downloads may take of a server at once: memory for what is opened, places, and the
// time that a client may take nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { BackupFilesWire } from '../../src/api/schema/download.ts';
import type { Backup } from '../../src/model/backup.ts';
import { MiB } from '../../src/model/units.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { TestRepository } from '../fixtures/repositories.ts';
import {
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { until } from '../fixtures/until.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let parts: TestRepository;
let scene: ApiScene;
let backup: Backup;
let origin: string;
/** What every opening waits for, and how many are open at most. */
let hold: Promise<void> = Promise.resolve();
const opening = { now: 0, most: 0 };

const openReader: TestRepository['repository']['openReader'] = async (...wanted) => {
  opening.most = Math.max(opening.most, ++opening.now);
  await hold;
  return await parts.repository.openReader(...wanted).finally(() => opening.now--);
};

before(async () => {
  parts = await openTestRepository(new MemoryStorage());
  // More than the buffers between server and client take.
  const content = Buffer.alloc(40 * MiB, randomBytes(MiB));
  const files = new Map([['base/1/large', content]]);
  await storeFiles(parts.repository, files, { backupId: testBackupId(1) });
  scene = await openApiScene({ repository: { openReader } });
  scene.driver.archiveTop = [{ kind: 'directory', path: 'data', mode: 0o700 }];
  const instance = await scene.addInstance({ id: testInstanceId });
  backup = await scene.addBackup(instance, { id: testBackupId(1), name: 'nightly' });
  origin = await scene.app.listen({ host: '127.0.0.1', port: 0 });
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  await parts.repository[Symbol.asyncDispose]();
});

const filesPath = (id: string): string => scene.rds(`/backup-files?backup_id=${id}`);

async function getPath(): Promise<string> {
  const answer = await scene.call('GET', filesPath(backup.id));
  const [file] = answer.json<BackupFilesWire>().files;
  const { pathname, search } = new URL(file?.download_link ?? '');
  return `${pathname}${search}`;
}

async function fetchPath(path: string, headers: Record<string, string> = {}) {
  return await scene.call('GET', path, { token: null, headers });
}

describe('many downloads', () => {
  test('are opened two at a time, eighteen at most, by whatever door', async () => {
    const path = await getPath();
    const goOn = Promise.withResolvers<void>();
    hold = goOn.promise;
    opening.most = 0;
    const answers = Array.from({ length: 24 }, async (_, index) => {
      if (index % 3 === 0) return await scene.call('GET', filesPath(backup.id));
      return await scene.call(index % 3 === 1 ? 'HEAD' : 'GET', path, {
        ...{ token: null, headers: { range: 'bytes=0-9' } },
      });
    });
    const early: number[] = [];
    for (const answer of answers) void answer.then(({ statusCode }) => early.push(statusCode));
    try {
      await until('the queue is full', () => early.length === 6);
      assert.deepEqual(new Set(early), new Set([429]));
      assert.equal(opening.now, 2);
      const unsigned = path.replace(/signature=.+/, 'signature=');
      const { statusCode } = await scene.call('HEAD', unsigned, { token: null });
      assert.equal(statusCode, 403, 'who has no link does not even queue');
    } finally {
      goOn.resolve();
    }
    const all = await Promise.all(answers);
    assert.equal(opening.most, 2);
    const refused = all.filter(({ statusCode }) => statusCode === 429);
    assert.equal(refused.length, 6);
    for (const { headers } of refused) assert.ok(Number(headers['retry-after']) > 0);
    assert.ok(all.every(({ statusCode }) => [200, 206, 429].includes(statusCode)));
    assert.equal((await fetchPath(path)).statusCode, 200);
  });

  test('more than eight at once are asked to come later; the places come back', async () => {
    const path = await getPath();
    // Nobody reads what these receive: they stay.
    const open = await Promise.all(
      Array.from({ length: 8 }, async () => {
        return await new Promise<() => void>((done, fail) => {
          const asked = httpRequest(`${origin}${path}`, { agent: false }, (response) => {
            response.on('error', () => undefined).pause();
            done(() => asked.destroy());
          });
          asked.on('error', fail).end();
        });
      }),
    );
    const refused = await fetchPath(path);
    assert.equal(refused.statusCode, 429);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    const head = await scene.call('HEAD', path, { token: null });
    assert.equal(head.statusCode, 200);
    for (const close of open) close();
    await until('a place is free', async () => {
      const { statusCode } = await fetchPath(path, { range: 'bytes=0-0' });
      return statusCode === 206;
    });
  });

  test('who takes nothing loses the place sooner than others their connection', async () => {
    const atStart: (number | undefined)[] = [];
    const inMiddle: (number | undefined)[] = [];
    const onRequest = ({ socket }: IncomingMessage, answer: ServerResponse): void => {
      atStart.push(socket.timeout);
      answer.once('pipe', () => inMiddle.push(socket.timeout));
    };
    scene.app.server.on('request', onRequest);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const path = await getPath();
      for (const each of [path, '/healthz']) {
        await new Promise<void>((done, fail) => {
          const asked = httpRequest(`${origin}${each}`, { agent }, (response) => {
            response.on('end', done).resume();
          });
          asked.on('error', fail).end();
        });
      }
      assert.deepEqual([atStart, inMiddle], [[120_000, 120_000], [60_000]]);
    } finally {
      agent.destroy();
      scene.app.server.off('request', onRequest);
    }
  });
});
