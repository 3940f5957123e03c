import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { createReceiveSocket, lendReads } from './receive-socket.ts';

/** A connected pair; everything is closed at the end. */
async function connectPair(work: (near: Socket, far: Socket) => Promise<void>): Promise<void> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = createReceiveSocket();
  near.connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = await accepted;
  try {
    await work(near, far);
  } finally {
    near.destroy();
    far.destroy();
    server.close();
  }
}

test('what was read before the loan stays as it was', async () => {
  await connectPair(async (near, far) => {
    const kept: Buffer[] = [];
    near.on('data', (bytes: Buffer) => kept.push(bytes));
    for (const text of ['first', 'other']) {
      const arrived = once(near, 'data');
      far.write(text);
      await arrived;
    }
    assert.equal(Buffer.concat(kept).toString(), 'firstother');
  });
});

test('lent bytes come whole and in order, and none while it is paused', async () => {
  await connectPair(async (near, far) => {
    lendReads(near);
    const sent = Buffer.alloc(3_000_000, 'a quick brown fox');
    const received = Buffer.alloc(sent.length);
    let at = 0;
    let isPaused = false;
    const buffers = new Set<ArrayBufferLike>();
    near.on('data', (bytes: Buffer) => {
      assert.ok(!isPaused);
      buffers.add(bytes.buffer);
      isPaused = true;
      near.pause();
      // Only now: until the socket goes on, the bytes are ours.
      setTimeout(() => {
        at += bytes.copy(received, at);
        isPaused = false;
        near.resume();
      }, 1);
    });
    const closed = once(near, 'close');
    far.end(sent);
    await closed;
    assert.ok(received.equals(sent));
    assert.equal(buffers.size, 1);
  });
});
