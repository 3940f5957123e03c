import assert from 'node:assert/strict';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { mountSmallDisk, skipWithoutRoot } from '../../../test/fixtures/small-disk.ts';
import { isErrorKind } from '../../model/errors.ts';
import { deviceNames } from './devices.ts';
import type { Exchange } from './exchange.ts';
import { openFolderExchange } from './exchange-folder.ts';

let here: string;
let exchange: Exchange;
const signal = new AbortController().signal;
const backup = { name: 'cairn-base-1-2', stripes: 2 };

beforeEach(async () => {
  here = await mkdtemp(join(tmpdir(), 'cairn-exchange-'));
  exchange = await openFolderExchange({ onServer: '\\\\files\\cairn', here });
});

afterEach(async () => await rm(here, { recursive: true, force: true }));

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

const put = (stripe: number, text: string, into = exchange): Promise<void> =>
  into.put(backup, stripe, { sizeBytes: text.length, bytes: pieces(text) }, signal);

const read = async (stripe: number, fromBytes = 0): Promise<string> => {
  const file = await exchange.open(backup, stripe, signal);
  assert.ok(file);
  return Buffer.concat(await Array.fromAsync(file.read(fromBytes, signal))).toString();
};

describe('a folder as the exchange', () => {
  it('names files as each side sees them', async () => {
    const onShare = '\\\\files\\cairn\\cairn-base-1-2.2of2.bak';
    assert.equal(deviceNames(exchange.devices(backup))[1], onShare);
    for (const [onServer, path] of [
      ['D:\\', 'D:\\cairn-base-1-2.1of1.bak'],
      ['D:/backups', 'D:/backups/cairn-base-1-2.1of1.bak'],
      ['/mnt/cairn', '/mnt/cairn/cairn-base-1-2.1of1.bak'],
    ] as const) {
      const seen = await openFolderExchange({ onServer, here });
      assert.deepEqual(deviceNames(seen.devices({ ...backup, stripes: 1 })), [path]);
    }
    for (const name of ['', '../x', 'a/b', 'A', 'a.b', 'ä', 'x'.repeat(101)]) {
      assert.throws(() => exchange.devices({ name, stripes: 1 }), { kind: 'bug' }, name);
    }
    for (const stripes of [0, 65, 1.5]) {
      assert.throws(() => exchange.devices({ ...backup, stripes }), { kind: 'bug' });
    }
  });

  it('puts what the server may read that may list the folder, and gives it back', async () => {
    for (const [folder, file] of [
      [0o700, 0o600],
      [0o750, 0o640],
      [0o777, 0o644],
    ] as const) {
      await chmod(here, folder);
      await put(0, 'one');
      const { mode } = await stat(join(here, 'cairn-base-1-2.1of2.bak'));
      assert.equal(mode & 0o777, file);
    }
    await put(1, 'another');
    assert.equal(await read(0), 'one');
    assert.equal(await read(1, 3), 'ther');
    assert.deepEqual(await exchange.list('cairn-base-', signal), [backup]);
    assert.deepEqual(await exchange.list('cairn-log-', signal), []);
    await exchange.remove(backup, signal);
    await exchange.remove(backup, signal);
    assert.deepEqual(await readdir(here), []);
    assert.equal(await exchange.open(backup, 0, signal), null);
  });

  it('has nothing under a name that is not whole', async () => {
    const endless = pieces('one', 'two', 'three');
    await assert.rejects(
      exchange.put(backup, 0, { sizeBytes: 5, bytes: endless }, signal),
      /11 bytes of 5/,
    );
    const controller = new AbortController();
    async function* cancelling(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('one');
      controller.abort();
      yield Buffer.from('two');
    }
    const file = { sizeBytes: 6, bytes: cancelling() };
    await assert.rejects(exchange.put(backup, 0, file, controller.signal), /abort/);
    assert.deepEqual(await readdir(here), []);
    // What a process leaves that dies while it writes.
    await writeFile(join(here, 'cairn-base-1-2.1of2.bak.part'), 'half');
    assert.equal(await exchange.open(backup, 0, signal), null);
    assert.deepEqual(await exchange.list('cairn-base-', signal), [backup]);
    await exchange.remove(backup, signal);
    assert.deepEqual(await readdir(here), []);
  });

  it('tells a file that is shorter than it was', async () => {
    await put(0, 'a long one');
    const file = await exchange.open(backup, 0, signal);
    await writeFile(join(here, 'cairn-base-1-2.1of2.bak'), 'short');
    assert.ok(file);
    await assert.rejects(
      Array.fromAsync(file.read(0, signal)),
      (error) => isErrorKind(error, 'storage-unavailable') && /ends at 5 of 10/.test(error.message),
    );
  });

  it('follows no links, and reads nothing but files', async () => {
    const secret = join(here, 'secret.txt');
    await writeFile(secret, 'secret');
    await symlink(secret, join(here, 'cairn-base-1-2.1of2.bak'));
    await assert.rejects(exchange.open(backup, 0, signal), /links are not followed/);
    await mkdir(join(here, 'cairn-base-1-2.2of2.bak'));
    await assert.rejects(exchange.open(backup, 1, signal), /is not a file/);
    await symlink(secret, join(here, 'cairn-base-1-2.1of2.bak.part'));
    await put(0, 'fresh');
    assert.equal(await read(0), 'fresh');
    const text = await readFile(secret, 'utf8');
    assert.equal(text, 'secret');
  });

  it('does not take a folder that is gone for an empty one', async () => {
    const isGone = (error: unknown): boolean =>
      isErrorKind(error, 'storage-unavailable') && /is not there/.test(error.message);
    await rm(here, { recursive: true });
    await assert.rejects(exchange.open(backup, 0, signal), isGone);
    await assert.rejects(exchange.list('', signal), isGone);
    await assert.rejects(put(0, 'x'), isGone);
    await assert.rejects(openFolderExchange({ onServer: '/x', here }), isGone);
    await writeFile(here, 'a file');
    await assert.rejects(openFolderExchange({ onServer: '/x', here }), { kind: 'invalid' });
  });

  it('says that it is full, and keeps nothing', { skip: skipWithoutRoot }, async () => {
    await using disk = await mountSmallDisk(1);
    const small = await openFolderExchange({ onServer: '/x', here: disk.path });
    await assert.rejects(put(0, 'x'.repeat(3_000_000), small), { kind: 'storage-full' });
    assert.deepEqual(await readdir(disk.path), []);
  });
});
