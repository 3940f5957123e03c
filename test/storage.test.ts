import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { systemRandom } from '../src/platform/random.ts';
import { LocalStorage } from '../src/storage/local.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import { storageSuite, writeObject } from './suites/storage-suite.ts';

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function openLocal(): Promise<LocalStorage> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-storage-'));
  folders.push(folder);
  return await LocalStorage.open(folder, systemRandom);
}

storageSuite('memory', async () => new MemoryStorage());
storageSuite('local', openLocal);

it('leaves no temporary file behind, whatever the outcome', async () => {
  const storage = await openLocal();
  await writeObject(storage, 'a', Buffer.from('1'));
  await assert.rejects(writeObject(storage, 'a', Buffer.from('2')));
  const signal = new AbortController().signal;
  await storage.createExclusive('b', Buffer.from('1'), signal);
  await storage.createExclusive('b', Buffer.from('2'), signal);
  const writer = await storage.openWriter('c', signal);
  await writer.write(Buffer.from('3'));
  await writer.abort();
  assert.deepEqual(await readdir(join(folders.at(-1) ?? '', 'tmp')), []);
});
