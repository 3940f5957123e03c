import assert from 'node:assert/strict';
import { mkdtemp, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { isErrorKind } from '../src/model/errors.ts';
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

it('lists what was moved to another volume and linked from here', async () => {
  const storage = await openLocal();
  const root = folders.at(-1) ?? '';
  const signal = new AbortController().signal;
  await writeObject(storage, 'instances/a/backups/b/manifest', Buffer.from('1'));
  const elsewhere = join(root, 'tmp', 'elsewhere');
  await rename(join(root, 'instances/a/backups/b'), elsewhere);
  await symlink(elsewhere, join(root, 'instances/a/backups/b'));
  const names = async (): Promise<string[]> => {
    const found = await Array.fromAsync(storage.list('instances/', signal));
    return found.map(({ name }) => name);
  };
  assert.deepEqual(await names(), ['instances/a/backups/b/manifest']);
  await rm(elsewhere, { recursive: true });
  await assert.rejects(names(), (error) => isErrorKind(error, 'storage-unavailable'));
});

it('removes the temporary files of processes that are long dead, and no others', async () => {
  const storage = await openLocal();
  const temporary = join(folders.at(-1) ?? '', 'tmp');
  for (const [name, days] of Object.entries({ old: 8, young: 6 })) {
    await writeFile(join(temporary, name), 'half a pack');
    const at = new Date(Date.now() - days * 24 * 3_600_000);
    await utimes(join(temporary, name), at, at);
  }
  await writeObject(storage, 'a', Buffer.from('1'));
  assert.deepEqual(await readdir(temporary), ['young']);
});
