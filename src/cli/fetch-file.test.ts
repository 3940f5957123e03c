import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { mountSmallDisk, skipWithoutRoot } from '../../test/fixtures/small-disk.ts';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { MiB } from '../model/units.ts';
import { systemClock } from '../platform/clock.ts';
import { fetchFile } from './fetch-file.ts';

const content = randomBytes(3_000_000);
let sleptMs = 0;
const impatient = {
  ...systemClock,
  sleep: async (spanMs: number) => {
    sleptMs += spanMs;
  },
};
const server = createServer((request, response) => answer(request, response));
/** What the server does with a request; each test sets its own. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let folder: string;
const madeFolders: string[] = [];
let links = 0;

before(() => new Promise<void>((done) => server.listen(0, '127.0.0.1', done)));
after(async () => {
  server.close();
  for (const made of madeFolders) await rm(made, { recursive: true });
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-fetch-'));
  links = 0;
  sleptMs = 0;
  madeFolders.push(folder);
});

const targetPath = (): string => join(folder, 'backup.tar.zst');

async function fetchIt(): Promise<void> {
  const { port } = server.address() as AddressInfo;
  await fetchFile({
    targetPath: targetPath(),
    findLink: async () => `http://127.0.0.1:${port}/?link=${++links}`,
    onProgress: () => undefined,
    onBusy: () => undefined,
    clock: impatient,
  });
}

/** Answers like the service, and breaks off after `bytes` if it is not all. */
function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: { readonly tag?: string; readonly bytes?: number; readonly from?: Buffer } = {},
): void {
  const { tag = '"one"', bytes = Number.POSITIVE_INFINITY, from = content } = options;
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? -1);
  const condition = request.headers['if-range'];
  const isRest = start >= 0 && (condition === undefined || condition === tag);
  const at = isRest ? start : 0;
  response.writeHead(isRest ? 206 : 200, {
    etag: tag,
    'content-length': from.byteLength - at,
    ...(isRest ? { 'content-range': `bytes ${at}-${from.byteLength - 1}/${from.byteLength}` } : {}),
  });
  if (at + bytes >= from.byteLength) response.end(from.subarray(at));
  else
    response.write(from.subarray(at, at + bytes), () => setTimeout(() => response.destroy(), 20));
}

async function assertWhole(expected = content): Promise<void> {
  assert.ok((await readFile(targetPath())).equals(expected));
  assert.deepEqual(await readdir(folder), ['backup.tar.zst']);
}

test('goes on where connections broke, each time with a new link', async () => {
  const ranges: (string | undefined)[] = [];
  answer = (request, response) => {
    ranges.push(request.headers.range);
    serve(request, response, { bytes: 700_000 });
  };
  await fetchIt();
  await assertWhole();
  assert.equal(ranges[0], undefined);
  assert.ok(ranges.length >= 4 && ranges.slice(1).every((range) => range !== undefined));
  assert.equal(links, ranges.length);
});

test('a second command goes on with what the first one kept', async () => {
  let refuses = false;
  answer = (request, response) => {
    if (refuses) response.writeHead(500).end('{}');
    else serve(request, response, { bytes: 1_000_000 });
    refuses = true;
  };
  await assert.rejects(fetchIt(), (error) => isErrorKind(error, 'engine-unreachable'));
  let start = '';
  answer = (request, response) => {
    start = request.headers.range ?? '';
    serve(request, response);
  };
  await fetchIt();
  assert.match(start, /^bytes=[1-9]\d+-$/);
  await assertWhole();
});

test('never puts bytes of two files together', async () => {
  const other = randomBytes(2_000_000);
  let asked = 0;
  answer = (request, response) => {
    if (++asked === 1) serve(request, response, { bytes: 900_000 });
    else serve(request, response, { tag: '"two"', from: other });
  };
  await fetchIt();
  await assertWhole(other);
});

test('begins anew when an answer is the rest of another file, or another part', async () => {
  const other = randomBytes(2_000_000);
  for (const wrong of [
    { etag: '"two"', 'content-range': `bytes 900000-1999999/2000000` },
    { etag: '"one"', 'content-range': `bytes 0-1999999/2000000` },
  ]) {
    let asked = 0;
    answer = (request, response) => {
      if (++asked === 1) serve(request, response, { bytes: 900_000 });
      else if (request.headers.range === undefined) serve(request, response);
      else response.writeHead(206, wrong).end(other.subarray(900_000));
    };
    await fetchIt();
    await assertWhole();
    assert.equal(asked, 3);
    await rm(targetPath());
  }
});

test('trusts nothing that is not noted as durable', async () => {
  // As a power failure may leave it: longer than what was synced, with zeros at the end.
  const torn = Buffer.concat([content.subarray(0, 5000), Buffer.alloc(content.byteLength)]);
  await writeFile(`${targetPath()}.part`, torn);
  await writeFile(`${targetPath()}.part.state`, JSON.stringify({ tag: '"one"', bytes: 5000 }));
  answer = serve;
  await fetchIt();
  await assertWhole();
  await rm(targetPath());
  await writeFile(`${targetPath()}.part`, Buffer.alloc(9000));
  await fetchIt();
  await assertWhole();
});

test('a file that is complete but for its name needs no byte', async () => {
  await writeFile(`${targetPath()}.part`, Buffer.concat([content, Buffer.alloc(100)]));
  const state = { tag: '"one"', bytes: content.byteLength };
  await writeFile(`${targetPath()}.part.state`, JSON.stringify(state));
  answer = (_request, response) => {
    response.writeHead(416, { 'content-range': `bytes */${content.byteLength}` }).end('{}');
  };
  await fetchIt();
  await assertWhole();
});

test('what cannot be helped ends it at once', async () => {
  answer = (_request, response) => void response.writeHead(404).end('{}');
  await assert.rejects(fetchIt(), (error) => isErrorKind(error, 'not-found'));
  assert.equal(links, 1);
  answer = serve;
  folder = join(folder, 'nowhere');
  await assert.rejects(fetchIt(), (error) => {
    return error instanceof CairnError && error.kind === 'invalid' && /write/.test(error.message);
  });
});

test('two commands never write one file; the second leaves it alone', async () => {
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  answer = (request, response) => {
    response.writeHead(200, { etag: '"one"', 'content-length': content.byteLength });
    response.write(content.subarray(0, 1_000_000), () => begun.resolve());
    void goOn.promise.then(() => response.end(content.subarray(1_000_000)));
    answer = serve;
    assert.equal(request.headers.range, undefined);
  };
  const first = fetchIt();
  await begun.promise;
  await assert.rejects(fetchIt(), (error) => {
    return isErrorKind(error, 'conflict') && error.message.includes(`process ${process.pid}`);
  });
  assert.equal(links, 1);
  goOn.resolve();
  await first;
  await assertWhole();
  await assert.rejects(fetchIt(), (error) => isErrorKind(error, 'invalid'));
  await assertWhole();
});

test('a lock that nobody holds any more is taken over; of others none', async () => {
  const lockPath = `${targetPath()}.part.lock`;
  const host = hostname();
  answer = serve;
  const child = spawn('true');
  await once(child, 'exit');
  for (const stale of [
    { host, pid: child.pid, started: null },
    // The number of a process that lives, but another one.
    { host, pid: process.pid, started: '1' },
  ]) {
    await writeFile(lockPath, JSON.stringify(stale));
    await fetchIt();
    await assertWhole();
    await rm(targetPath());
  }
  for (const held of [
    JSON.stringify({ host, pid: process.ppid, started: null }),
    JSON.stringify({ host: 'elsewhere', pid: child.pid, started: null }),
    '',
  ]) {
    await writeFile(lockPath, held);
    await assert.rejects(fetchIt(), (error) => isErrorKind(error, 'conflict'), held);
    assert.equal(await readFile(lockPath, 'utf8'), held);
  }
});

test('of many commands that find a stale lock, one fetches at a time', async () => {
  const child = spawn('true');
  await once(child, 'exit');
  const stale = { host: hostname(), pid: child.pid, started: null };
  await writeFile(`${targetPath()}.part.lock`, JSON.stringify(stale));
  let running = 0;
  answer = (request, response) => {
    assert.equal(++running, 1);
    response.on('close', () => running--);
    serve(request, response);
  };
  const results = await Promise.allSettled(Array.from({ length: 8 }, fetchIt));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  await assertWhole();
});

test('what has arrived on a disk that ran full is gone on with', {
  skip: skipWithoutRoot,
}, async () => {
  await using disk = await mountSmallDisk(2);
  folder = disk.path;
  answer = serve;
  await assert.rejects(fetchIt(), (error) => {
    if (!isErrorKind(error, 'storage-full')) return false;
    assert.match(error.hint ?? '', /MB have arrived and are kept/);
    return true;
  });
  const { bytes } = JSON.parse(await readFile(`${targetPath()}.part.state`, 'utf8'));
  assert.ok(bytes > MiB);
  await disk.resize(8);
  let range: string | undefined;
  answer = (request, response) => {
    range = request.headers.range;
    serve(request, response);
  };
  await fetchIt();
  assert.equal(range, `bytes=${bytes}-`);
  await assertWhole();
});

test('a full disk that took nothing is not said to keep anything', {
  skip: skipWithoutRoot,
}, async () => {
  await using disk = await mountSmallDisk(1);
  folder = disk.path;
  await writeFile(join(folder, 'filler'), Buffer.alloc(MiB)).catch(() => undefined);
  answer = serve;
  await assert.rejects(fetchIt(), (error) => {
    return isErrorKind(error, 'storage-full') && !/kept/.test(error.hint ?? '');
  });
  assert.deepEqual(await readdir(folder), ['filler']);
});

test('a busy service is waited for as long as it asks, and is no failure', async () => {
  let refusals = 0;
  answer = (request, response) => {
    if (++refusals <= 20) response.writeHead(429, { 'retry-after': '45' }).end('{}');
    else serve(request, response);
  };
  await fetchIt();
  await assertWhole();
  assert.equal(sleptMs, 20 * 45_000);
});

test('half an hour of a busy service ends it, and says so', async () => {
  answer = (_request, response) => void response.writeHead(429, { 'retry-after': '9999' }).end();
  await assert.rejects(fetchIt(), (error) => {
    if (!isErrorKind(error, 'conflict')) return false;
    assert.match(error.message, /busy for 30 min/);
    assert.match(error.hint ?? '', /nothing has arrived/);
    return true;
  });
  assert.equal(sleptMs, 30 * 60_000);
  assert.deepEqual(await readdir(folder), []);
});

test('says what is kept of a download that breaks off for good', async () => {
  answer = (request, response) => {
    answer = (_request, failing) => void failing.writeHead(500).end('{}');
    serve(request, response, { bytes: 1_000_000 });
  };
  const hintOf = async (): Promise<string> => {
    const error = await fetchIt().then(
      () => null,
      (failure: unknown) => failure,
    );
    assert.ok(isErrorKind(error, 'engine-unreachable'), String(error));
    return error.hint ?? '';
  };
  assert.match(await hintOf(), /arrived and are kept/);
  await rm(`${targetPath()}.part`);
  await rm(`${targetPath()}.part.state`);
  assert.match(await hintOf(), /nothing has arrived/);
});
