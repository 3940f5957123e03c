// Links that read one object without credentials, fetched from real stores.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { isErrorKind } from '../src/model/errors.ts';
import { systemClock } from '../src/platform/clock.ts';
import type { S3Storage } from '../src/storage/s3.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore, storeKinds } from './fixtures/object-store.ts';
import { openFreshS3, openS3, useCredentials } from './fixtures/s3-storages.ts';
import { runCairn } from './fixtures/service.ts';
import { writeObject } from './suites/storage-suite.ts';

const never = new AbortController().signal;
const name = 'instances/a/backups/b/packs/c-000001';

async function fetchBytes(link: string): Promise<Buffer> {
  const answer = await fetch(link);
  assert.equal(answer.status, 200, await answer.clone().text());
  return Buffer.from(await answer.arrayBuffer());
}

for (const kind of storeKinds) {
  describe(`a link to an object on ${kind}`, () => {
    let store: ObjectStore;
    before(async () => {
      store = await startObjectStore(kind);
      useCredentials(store.environment);
      await store.makeBucket('backups');
    });
    after(() => store[Symbol.asyncDispose]());

    it('gives its bytes to whoever has it, and only those', async () => {
      const bytes = randomBytes(100_000);
      const storage = await openFreshS3(store, 'backups');
      await writeObject(storage, name, bytes);
      await writeObject(storage, `${name}x`, randomBytes(10));
      const link = await storage.presignedDownload(name, 60_000, never);
      assert.deepEqual(await fetchBytes(link), bytes);
      assert.ok(!link.includes(store.secretKey));
      const part = await fetch(link, { headers: { range: 'bytes=10-19' } });
      assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(10, 20));
      const ofAnother = new URL(link);
      ofAnother.pathname += 'x';
      assert.equal((await fetch(ofAnother)).status, 403);
      const written = await fetch(link, { method: 'PUT', body: 'mine' });
      assert.equal(written.status, 403);
      assert.deepEqual(await storage.read(name, null, never), bytes);
    });

    it('ends after its time', async () => {
      const storage = await openFreshS3(store, 'backups');
      await writeObject(storage, name, Buffer.from('sealed'));
      const link = await storage.presignedDownload(name, 1_000, never);
      await systemClock.sleep(3_000, never);
      assert.equal((await fetch(link)).status, 403);
    });

    it('is refused for what is not there, and for longer than a store allows', async () => {
      const storage = await openFreshS3(store, 'backups');
      await assert.rejects(storage.presignedDownload(name, 60_000, never), (error) =>
        isErrorKind(error, 'not-found'),
      );
      await writeObject(storage, name, Buffer.from('sealed'));
      for (const lifetimeMs of [0, 8 * 86_400_000, Number.NaN]) {
        await assert.rejects(storage.presignedDownload(name, lifetimeMs, never), (error) =>
          isErrorKind(error, 'invalid'),
        );
      }
    });

    it('is printed by the command line', async () => {
      const url = store.urlOf('backups', 'by-hand');
      const storage = await openS3(url);
      await writeObject(storage, name, Buffer.from('sealed'));
      const run = (...args: string[]) =>
        runCairn(['storage', 'presign', ...args, '--storage', url], {
          environment: store.environment,
        });
      const { exitCode, stdout, stderr } = await run(name, '--for', '2m');
      assert.equal(exitCode, 0, stderr);
      assert.equal((await fetchBytes(stdout.trim())).toString(), 'sealed');
      assert.equal(new URL(stdout.trim()).searchParams.get('X-Amz-Expires'), '120');
      assert.equal((await run('nothing')).exitCode, 3);
      assert.equal((await run(name, '--for', 'ever')).exitCode, 2);
      assert.equal((await run(name, '--for', '8d')).exitCode, 2);
      const local = await runCairn(['storage', 'presign', 'a', '--storage', 'file:///tmp']);
      assert.equal(local.exitCode, 2);
      assert.match(local.stderr, /only object stores/);
    });

    if (kind === 'ceph') {
      it('names the bucket in the host where the location says so', async () => {
        const storage = await virtualHosted(store);
        await writeObject(storage, name, Buffer.from('sealed'));
        const link = new URL(await storage.presignedDownload(name, 60_000, never));
        assert.equal(link.hostname, 'backups.localhost');
        assert.equal((await fetchAt('127.0.0.1', link)).toString(), 'sealed');
      });
    } else {
      it('is all that it gives: it has no object lock, and that is said', async () => {
        const storage = await openS3(`${store.urlOf('backups', 'x')}&lock=compliance`);
        await assert.rejects(storage.examine(never), (error) => {
          assert.ok(isErrorKind(error, 'invalid'));
          return /object lock|objects can be locked/.test(error.message) && error.hint !== null;
        });
      });
    }
  });
}

/** Names below localhost resolve on some machines only, so requests go to the address. */
async function virtualHosted(store: ObjectStore): Promise<S3Storage> {
  const { port } = new URL(store.endpoint);
  const endpoint = encodeURIComponent(`http://localhost:${port}`);
  const storage = await openS3(`s3://backups/hosted?endpoint=${endpoint}&path_style=false`);
  const { client } = storage.requests.parts.connection;
  client.middlewareStack.add(
    (next) => async (args) => {
      (args.request as { hostname: string }).hostname = '127.0.0.1';
      return await next(args);
    },
    { step: 'finalizeRequest', priority: 'low', name: 'resolveHost' },
  );
  return storage;
}

async function fetchAt(address: string, link: URL): Promise<Buffer> {
  const request = get({
    ...{ host: address, port: link.port, path: `${link.pathname}${link.search}` },
    headers: { host: link.host },
  });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const bytes = Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>));
  assert.equal(answer.statusCode, 200, bytes.toString());
  return bytes;
}
