// Download links over the API: who gets one, what it opens, and that nobody takes half a file for
// the whole.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';

import { after, before, describe, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { pino } from 'pino';
import type { BackupFilesWire } from '../../src/api/schema/download.ts';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import { MiB } from '../../src/model/units.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { TestRepository } from '../fixtures/repositories.ts';
import {
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from '../fixtures/repositories.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

const minuteMs = 60_000;
const storage = new MemoryStorage();
const files = new Map([
  ['PG_VERSION', Buffer.from('16\n')],
  ['base/1/large', randomBytes(2 * MiB + 77)],
]);

let parts: TestRepository;
let scene: ApiScene;
let instance: Instance;
let backup: Backup;
let log = '';
before(async () => {
  parts = await openTestRepository(storage);
  await storeFiles(parts.repository, files, { backupId: testBackupId(1) });
  const logger = pino({ level: 'debug' }, { write: (line: string) => void (log += line) });
  scene = await openApiScene({ repository: parts.repository, log: logger });
  scene.driver.archiveTop = [{ kind: 'directory', path: 'data', mode: 0o700 }];
  instance = await scene.addInstance({ id: testInstanceId });
  backup = await scene.addBackup(instance, { id: testBackupId(1), name: 'nightly' });
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  await parts.repository[Symbol.asyncDispose]();
});

const filesPath = (id: string): string => scene.rds(`/backup-files?backup_id=${id}`);

async function getFile(): Promise<BackupFilesWire['files'][number] & { path: string }> {
  const answer = await scene.call('GET', filesPath(backup.id));
  assert.equal(answer.statusCode, 200, answer.body);
  const [file] = answer.json<BackupFilesWire>().files;
  assert.ok(file);
  const { pathname, search } = new URL(file.download_link);
  return { ...file, path: `${pathname}${search}` };
}

async function fetchPath(path: string, headers: Record<string, string> = {}) {
  return await scene.call('GET', path, { token: null, headers });
}

async function assertRefused(path: string, status: number, code: string): Promise<void> {
  const answer = await fetchPath(path);
  assert.equal(answer.statusCode, status, `${path}: ${answer.body}`);
  assert.equal(answer.json().error_code, code);
}

describe('the links of a backup', () => {
  test('one file with its size, a full address and its end', async () => {
    const answer = await scene.call('GET', filesPath(backup.id));
    assert.equal(answer.statusCode, 200, answer.body);
    const body = answer.json<BackupFilesWire>();
    assert.equal(body.bucket, 'cairn');
    assert.equal(body.files.length, 1);
    const { name, size, download_link, link_expired_time, database_name } = body.files[0] ?? {};
    assert.equal(name, 'nightly.tar.zst');
    assert.equal(database_name, null);
    const url = new URL(download_link ?? '');
    assert.match(url.pathname, new RegExp(`^/cairn/v1/downloads/.+/${backup.id}/nightly.tar.zst$`));
    const expiresMs = Number(url.searchParams.get('expires')) * 1000;
    assert.equal(expiresMs, Math.floor(scene.clock.now().getTime() / 1000) * 1000 + 15 * minuteMs);
    assert.equal(link_expired_time, `${new Date(expiresMs).toISOString().slice(0, 19)}+0000`);
    const whole = await fetchPath(`${url.pathname}${url.search}`);
    assert.equal(size, Math.ceil(whole.rawPayload.byteLength / 1024));
  });

  test('only of a completed backup of the project', async () => {
    const endedAt = scene.clock.now();
    const states = [
      { status: 'building' },
      { status: 'failed', endedAt, reason: 'no' },
      { status: 'deleting', endedAt },
    ] as const;
    for (const state of states) {
      const other = await scene.addBackup(instance, { state });
      const answer = await scene.call('GET', filesPath(other.id));
      assert.equal(answer.statusCode, 400, state.status);
      assert.equal(answer.json().error_code, 'DBS.201208');
    }
    for (const id of ['0'.repeat(36), 'no%20id']) {
      const answer = await scene.call('GET', filesPath(id));
      assert.equal(answer.statusCode, 404);
      assert.equal(answer.json().error_code, 'DBS.201010');
    }
    const without = await scene.call('GET', scene.rds('/backup-files'));
    assert.equal(without.statusCode, 400);
  });

  test('needs a login with the right to download', async () => {
    const none = await scene.call('GET', filesPath(backup.id), { token: null });
    assert.equal(none.statusCode, 401);
    const token = await scene.tokenFor('viewer');
    const viewer = await scene.call('GET', filesPath(backup.id), { token });
    assert.equal(viewer.statusCode, 403, viewer.body);
  });

  test('a name with other characters becomes a safe one', async () => {
    await storeFiles(parts.repository, files, { backupId: testBackupId(2) });
    const name = 'auto backup/"2026"\r\nä';
    const odd = await scene.addBackup(instance, { id: testBackupId(2), name });
    const [file] = (await scene.call('GET', filesPath(odd.id))).json<BackupFilesWire>().files;
    assert.equal(file?.name, 'auto_backup__2026____.tar.zst');
    const { pathname, search } = new URL(file?.download_link ?? '');
    const answer = await fetchPath(`${pathname}${search}`);
    assert.equal(answer.statusCode, 200, answer.body);
    const disposition = 'attachment; filename="auto_backup__2026____.tar.zst"';
    assert.equal(answer.headers['content-disposition'], disposition);
  });
});

describe('what a link opens', () => {
  test('the archive, without a login', async () => {
    const { path } = await getFile();
    const answer = await fetchPath(path);
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.headers['content-type'], 'application/zstd');
    assert.equal(answer.headers['accept-ranges'], 'bytes');
    assert.equal(Number(answer.headers['content-length']), answer.rawPayload.byteLength);
    const tar = zstdDecompressSync(answer.rawPayload);
    for (const content of files.values()) assert.ok(tar.includes(content));
  });

  test('every range is that slice of it', async () => {
    const { path } = await getFile();
    const whole = (await fetchPath(path)).rawPayload;
    const size = whole.byteLength;
    const cases: [header: string, start: number, end: number][] = [
      ['bytes=0-0', 0, 1],
      ['bytes=14-16', 14, 17],
      ['bytes=131000-262500', 131_000, 262_501],
      [`bytes=${size - 1}-`, size - 1, size],
      ['bytes=1000-99999999', 1000, size],
      ['bytes=-500', size - 500, size],
      [`bytes=-${size + 5}`, 0, size],
    ];
    for (const [range, start, end] of cases) {
      const answer = await fetchPath(path, { range });
      assert.equal(answer.statusCode, 206, range);
      assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${size}`);
      assert.equal(answer.headers['content-length'], String(end - start));
      assert.ok(answer.rawPayload.equals(whole.subarray(start, end)), range);
    }
    const place = fc.integer({ min: 0, max: size - 1 });
    await fc.assert(
      fc.asyncProperty(place, place, async (a, b) => {
        const [start = 0, last = 0] = [a, b].sort((x, y) => x - y);
        const { rawPayload } = await fetchPath(path, { range: `bytes=${start}-${last}` });
        assert.ok(rawPayload.equals(whole.subarray(start, last + 1)), `${start} to ${last}`);
      }),
      { numRuns: 40 },
    );
  });

  test('a range outside is 416, what is no single range is the whole', async () => {
    const { path } = await getFile();
    const size = Number((await fetchPath(path)).headers['content-length']);
    for (const range of [`bytes=${size}-`, 'bytes=-0']) {
      const answer = await fetchPath(path, { range });
      assert.equal(answer.statusCode, 416, range);
      assert.equal(answer.headers['content-range'], `bytes */${size}`);
      assert.ok(answer.json().error_code);
    }
    for (const range of ['bytes=0-1,5-6', 'bytes=5-2', 'lines=0-1', 'bytes=-', 'bytes=a-b']) {
      const answer = await fetchPath(path, { range });
      assert.equal(answer.statusCode, 200, range);
      assert.equal(answer.rawPayload.byteLength, size);
    }
  });

  test('a range of another file than the client has begun is the whole', async () => {
    const { path } = await getFile();
    const tag = String((await fetchPath(path, { range: 'bytes=0-0' })).headers.etag);
    assert.match(tag, /^"[^"]+"$/);
    const same = await fetchPath(path, { range: 'bytes=0-9', 'if-range': tag });
    assert.equal(same.statusCode, 206);
    for (const other of ['"other"', `W/${tag}`, 'Mon, 05 Jan 2026 03:00:00 GMT']) {
      const answer = await fetchPath(path, { range: 'bytes=0-9', 'if-range': other });
      assert.equal(answer.statusCode, 200, other);
    }
  });

  test('HEAD says the length and reads no pack', async () => {
    const { path } = await getFile();
    const size = (await fetchPath(path)).rawPayload.byteLength;
    const kept = new Map(storage.objects);
    for (const name of kept.keys()) if (name.includes('pack')) storage.objects.delete(name);
    assert.ok(storage.objects.size < kept.size);
    const answer = await scene.call('HEAD', path, { token: null });
    for (const [name, bytes] of kept) storage.objects.set(name, bytes);
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.headers['content-length'], String(size));
    assert.equal(answer.rawPayload.byteLength, 0);
  });
});

describe('what a link does not open', () => {
  test('anything when a part of it was changed', async () => {
    const { path } = await getFile();
    await storeFiles(parts.repository, files, { backupId: testBackupId(3) });
    const other = await scene.addBackup(instance, { id: testBackupId(3), name: 'other' });
    const changed = [
      path.replace(backup.id, other.id),
      path.replace(backup.id, other.id).replace('nightly', 'other'),
      path.replace('nightly', 'nightlx'),
      path.replace(/\/downloads\/[^/]+/, '/downloads/another-project'),
      path.replace(/expires=\d+/, (text) => `expires=${Number(text.slice(8)) + 1}`),
      path.replace(/signature=./, (text) => `signature=${text.endsWith('0') ? '1' : '0'}`),
      path.replace(/signature=.+/, 'signature='),
      path.replace(/&signature=.+/, ''),
      path.replace(/expires=\d+/, 'expires=999999999999'),
      path.replace(/\?.+/, ''),
    ];
    for (const each of changed) {
      assert.notEqual(each, path);
      await assertRefused(each, 403, 'DBS.280015');
    }
    const token = await fetchPath(path.replace(/\?.+/, ''), { 'x-auth-token': scene.token });
    assert.equal(token.statusCode, 403, 'a login is no link');
  });

  test('anything after its end', async () => {
    const { path } = await getFile();
    await scene.clock.advance(15 * minuteMs - 1000);
    assert.equal((await fetchPath(path)).statusCode, 200);
    await scene.clock.advance(1000);
    await assertRefused(path, 403, 'DBS.280015');
  });

  test('a backup that is being deleted or gone', async () => {
    const { path } = await getFile();
    const state = { status: 'deleting', endedAt: scene.clock.now() } as const;
    await scene.catalog.backups.setState(backup.id, state);
    await assertRefused(path, 404, 'DBS.201010');
    await scene.catalog.backups.setState(backup.id, backup.state);
    assert.equal((await fetchPath(path)).statusCode, 200);
  });

  test('a lost backup: that is damage, not absence', async () => {
    const { path } = await getFile();
    const name = [...storage.objects.keys()].find((key) => key.endsWith(`${backup.id}/manifest`));
    const manifest = storage.objects.get(name ?? '');
    storage.objects.delete(name ?? '');
    await assertRefused(path, 500, 'DBS.290015');
    storage.objects.set(name ?? '', manifest ?? Buffer.alloc(0));
  });
});

describe('over a socket', () => {
  let origin: string;
  before(async () => {
    origin = await scene.app.listen({ host: '127.0.0.1', port: 0 });
  });

  type Received = { status: number; length: number; bytes: number; complete: boolean };

  async function receive(path: string): Promise<Received> {
    return await new Promise((done, fail) => {
      const asked = httpRequest(`${origin}${path}`, { agent: false }, (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.byteLength;
        });
        response.on('error', () => undefined);
        response.on('close', () => {
          const length = Number(response.headers['content-length']);
          const { complete, statusCode: status = 0 } = response;
          done({ status, length, bytes, complete });
        });
      });
      asked.on('error', fail).end();
    });
  }

  test('damage midway breaks the connection: never a clean end', async () => {
    const content = randomBytes(20 * MiB);
    const large = new Map([['base/1/large', content]]);
    await storeFiles(parts.repository, large, { backupId: testBackupId(4) });
    const hurt = await scene.addBackup(instance, { id: testBackupId(4) });
    const [file] = (await scene.call('GET', filesPath(hurt.id))).json<BackupFilesWire>().files;
    const { pathname, search } = new URL(file?.download_link ?? '');
    const whole = await receive(`${pathname}${search}`);
    assert.deepEqual(whole, { ...whole, status: 200, bytes: whole.length, complete: true });
    const inBackup = (name: string): boolean => name.includes(hurt.id) && name.includes('pack');
    const pack = [...storage.objects.keys()].find(inBackup) ?? '';
    const bytes = storage.objects.get(pack) as Buffer;
    const at = Math.floor(bytes.byteLength * 0.8);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    const broken = await receive(`${pathname}${search}`);
    assert.equal(broken.status, 200);
    assert.equal(broken.complete, false, 'the client took a part for the whole');
    assert.ok(broken.bytes > 0 && broken.bytes < broken.length);
    assert.match(log, /a download was broken off/);
  });

  test('who goes away is no failure of ours', () => {
    assert.equal(log.match(/a download was broken off/g)?.length, 1, 'only the damage is logged');
  });

  test('the log has no signature', () => {
    assert.match(log, /\/cairn\/v1\/downloads\//);
    assert.doesNotMatch(log, /signature|expires=/);
  });
});
