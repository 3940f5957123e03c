import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { systemClock } from '../platform/clock.ts';
import { fetchFile } from './fetch-file.ts';

const content = randomBytes(3_000_000);
const impatient = { ...systemClock, sleep: async () => undefined };
const server = createServer((request, response) => answer(request, response));
/** What the server does with a request; each test sets its own. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let folder: string;
let links = 0;

before(() => new Promise<void>((done) => server.listen(0, '127.0.0.1', done)));
after(() => server.close());
beforeEach(async (context) => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-fetch-'));
  links = 0;
  if ('after' in context) context.after(() => rm(folder, { recursive: true, force: true }));
});

const targetPath = (): string => join(folder, 'backup.tar.zst');

async function fetchIt(): Promise<void> {
  const { port } = server.address() as AddressInfo;
  await fetchFile({
    targetPath: targetPath(),
    findLink: async () => `http://127.0.0.1:${port}/?link=${++links}`,
    onProgress: () => undefined,
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
