import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemRandom as random } from '../../platform/random.ts';
import { assertServerHere, ensureServerPlace } from './server-place.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-place-'));
});
after(() => rm(folder, { recursive: true }));

const name = 'shop';
const serverIn = (homeDir: string) => ({ homeDir, dataDir: `${homeDir}/data`, binDir: '/b' });

describe('the place of a server', () => {
  it('is made once, by however many at a time', async () => {
    const serversDir = join(folder, 'made', 'servers');
    const many = await Promise.all(
      Array.from({ length: 8 }, () => ensureServerPlace({ serversDir, random })),
    );
    assert.equal(new Set(many.map(({ serversId }) => serversId)).size, 1);
    assert.deepEqual(await ensureServerPlace({ serversDir, random }), many[0]);
  });

  it('is this host also when the home is gone, and not when the folder is', async () => {
    const serversDir = join(folder, 'here');
    const place = await ensureServerPlace({ serversDir, random });
    const managed = { ...serverIn(join(serversDir, 'a')), place };
    await assertServerHere({ name, managed });
    await rename(serversDir, `${serversDir}-unmounted`);
    await assert.rejects(assertServerHere({ name, managed }), { kind: 'engine-unreachable' });
    // What lies there now was made by another host, or before something was mounted over it.
    await ensureServerPlace({ serversDir, random });
    await mkdir(managed.homeDir);
    const refused = assertServerHere({ name, managed });
    await assert.rejects(refused, (error: Error & { hint: string }) => {
      assert.match(error.message, new RegExp(`host ${place.host} in ${managed.homeDir}`));
      const line = `echo ${place.serversId} >> ${serversDir}/.cairn-servers`;
      assert.ok(error.hint.endsWith(line), error.hint);
      return true;
    });
    const path = join(serversDir, '.cairn-servers');
    const own = await readFile(path, 'utf8');
    await writeFile(path, `${own}${place.serversId}\n`);
    await assertServerHere({ name, managed });
    assert.equal((await ensureServerPlace({ serversDir, random })).serversId, own.trim());
  });

  it('cannot be told when the file cannot be read', async () => {
    const serversDir = join(folder, 'broken');
    await mkdir(join(serversDir, '.cairn-servers'), { recursive: true });
    const managed = { ...serverIn(join(serversDir, 'a')), place: { serversId: 'x', host: 'h' } };
    const unavailable = { kind: 'storage-unavailable' };
    await assert.rejects(assertServerHere({ name, managed }), unavailable);
    await assert.rejects(ensureServerPlace({ serversDir, random }), unavailable);
  });
});
