// The contract of `storage.ts`, run against every implementation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { isErrorKind } from '../../src/model/errors.ts';
import type { ObjectInfo, Storage } from '../../src/storage/storage.ts';

const never = new AbortController().signal;

export async function writeObject(
  storage: Storage,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const writer = await storage.openWriter(name, never);
  await writer.write(bytes);
  await writer.publish();
}

async function listAll(storage: Storage, prefix: string): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const info of storage.list(prefix, never)) found.push(info);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function storageSuite(leg: string, open: () => Promise<Storage>): void {
  describe(`storage contract: ${leg}`, () => {
    it('reads back what was published, whole and in ranges', async () => {
      const storage = await open();
      const writer = await storage.openWriter('a/b/one', never);
      await writer.write(Buffer.from('hello '));
      await writer.write(Buffer.from('world'));
      await writer.publish();
      assert.equal((await storage.read('a/b/one', null, never)).toString(), 'hello world');
      const range = { offsetBytes: 6, lengthBytes: 5 };
      const read = await storage.read('a/b/one', range, never);
      assert.equal(read.toString(), 'world');
      assert.equal(read.buffer.byteLength, read.byteLength, 'the buffer is cut out of a pool');
      assert.deepEqual(await storage.stat('a/b/one', never), { name: 'a/b/one', sizeBytes: 11 });
    });

    it('keeps a large object that was written in pieces of all sizes', async () => {
      const storage = await open();
      const whole = randomBytes(21 * 1024 * 1024 + 17);
      const writer = await storage.openWriter('large', never);
      for (let at = 0, size = 1; at < whole.byteLength; at += size, size = size * 3 + 1) {
        await writer.write(whole.subarray(at, at + size));
      }
      await writer.publish();
      const { sizeBytes } = await storage.stat('large', never);
      assert.equal(sizeBytes, whole.byteLength);
      assert.ok((await storage.read('large', null, never)).equals(whole));
      const range = { offsetBytes: 8 * 1024 * 1024 - 5, lengthBytes: 10 };
      const read = await storage.read('large', range, never);
      assert.ok(read.equals(whole.subarray(range.offsetBytes, range.offsetBytes + 10)));
      await assert.rejects(writeObject(storage, 'large', whole), (e) => isErrorKind(e, 'conflict'));
    });

    it('answers an empty range inside an object and refuses one behind it', async () => {
      const storage = await open();
      await writeObject(storage, 'ten', Buffer.from('0123456789'));
      const read = await storage.read('ten', { offsetBytes: 10, lengthBytes: 0 }, never);
      assert.equal(read.byteLength, 0);
      const behind = storage.read('ten', { offsetBytes: 11, lengthBytes: 0 }, never);
      await assert.rejects(behind, (e) => isErrorKind(e, 'repository-damaged'));
    });

    it('keeps an empty object apart from an absent one', async () => {
      const storage = await open();
      await writeObject(storage, 'empty', Buffer.alloc(0));
      assert.equal((await storage.read('empty', null, never)).byteLength, 0);
      await assert.rejects(storage.read('absent', null, never), (e) => isErrorKind(e, 'not-found'));
      await assert.rejects(storage.stat('absent', never), (e) => isErrorKind(e, 'not-found'));
    });

    it('shows nothing before publish and nothing after abort', async () => {
      const storage = await open();
      const writer = await storage.openWriter('x/half', never);
      await writer.write(Buffer.from('half'));
      assert.deepEqual(await listAll(storage, ''), []);
      await writer.abort();
      assert.deepEqual(await listAll(storage, ''), []);
      await assert.rejects(storage.stat('x/half', never), (e) => isErrorKind(e, 'not-found'));
    });

    it('never replaces an object', async () => {
      const storage = await open();
      await writeObject(storage, 'once', Buffer.from('first'));
      await assert.rejects(writeObject(storage, 'once', Buffer.from('second')), (e) =>
        isErrorKind(e, 'conflict'),
      );
      assert.equal((await storage.read('once', null, never)).toString(), 'first');
    });

    it('lets exactly one of racing creators win', async () => {
      const storage = await open();
      const outcomes = await Promise.all(
        Array.from({ length: 16 }, (_, i) =>
          storage.createExclusive('race', Buffer.from(`writer ${i}`), never),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
      const winner = outcomes.indexOf('created');
      assert.equal((await storage.read('race', null, never)).toString(), `writer ${winner}`);
    });

    it('lists every object below a prefix, by name prefix and not by folder', async () => {
      const storage = await open();
      for (let i = 0; i < 30; i++) await writeObject(storage, `p/q${i % 3}/n${i}`, Buffer.alloc(i));
      assert.equal((await listAll(storage, 'p/')).length, 30);
      assert.equal((await listAll(storage, 'p/q1/')).length, 10);
      assert.equal((await listAll(storage, 'p/q')).length, 30);
      assert.deepEqual(await listAll(storage, 'p/q1/n1'), [
        { name: 'p/q1/n1', sizeBytes: 1 },
        { name: 'p/q1/n10', sizeBytes: 10 },
        { name: 'p/q1/n13', sizeBytes: 13 },
        { name: 'p/q1/n16', sizeBytes: 16 },
        { name: 'p/q1/n19', sizeBytes: 19 },
      ]);
      assert.deepEqual(await listAll(storage, 'nothing/'), []);
    });

    it('deletes, and does not mind deleting what is gone', async () => {
      const storage = await open();
      await writeObject(storage, 'd/gone', Buffer.from('x'));
      await storage.delete('d/gone', never);
      await storage.delete('d/gone', never);
      assert.deepEqual(await listAll(storage, 'd/'), []);
    });

    it('refuses a range past the end as damage', async () => {
      const storage = await open();
      await writeObject(storage, 'short', Buffer.from('0123456789'));
      await assert.rejects(
        storage.read('short', { offsetBytes: 5, lengthBytes: 6 }, never),
        (e) => isErrorKind(e, 'repository-damaged') && e.message.includes('short'),
      );
    });

    it('refuses names that leave its ground', async () => {
      const storage = await open();
      for (const name of ['../x', '/x', 'a//b', 'a/../b', '', 'a b', 'x\0', './x']) {
        await assert.rejects(storage.stat(name, never), (e) => isErrorKind(e, 'bug'), name);
      }
    });

    it('flushes, and stops at an aborted signal', async () => {
      const storage = await open();
      await writeObject(storage, 'f/one', Buffer.alloc(100_000, 7));
      await storage.flush(['f/one'], never);
      const aborted = AbortSignal.abort(new Error('enough'));
      await assert.rejects(storage.read('f/one', null, aborted), /enough/);
      await assert.rejects(storage.flush(['f/one'], aborted), /enough/);
    });
  });
}
