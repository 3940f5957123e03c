// A new master key as an operator gets it, beside a running service.
import assert from 'node:assert/strict';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { CliResult, TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp, register } from '../fixtures/service-calls.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let backupId: string;

before(async () => {
  server = scene.use(await startPostgres({ version: '16' }));
  service = scene.use(await startService());
  const instanceId = await register(service, server.url);
  backupId = (await backUp(service, instanceId, 'first')).id;
});
after(() => scene.disposeAsync());

type Changed = { readonly old_master_key_id: string; readonly new_master_key_id: string };

const keyPath = (): string => join(service.dataDir, 'master.key');
const keyText = async (path = keyPath()): Promise<string> => (await readFile(path, 'utf8')).trim();

async function cairn(...args: string[]): Promise<CliResult> {
  const result = await service.cli(...args);
  assert.equal(result.exitCode, 0, result.stdout + result.stderr);
  return result;
}

/** On an empty machine: storage and key alone. */
async function restoreWith(key: string, name: string): Promise<CliResult> {
  const environment = {
    ...service.environment,
    ...{ CAIRN_MASTER_KEY: key, CAIRN_DATA: join(service.folder, 'elsewhere') },
    CAIRN_STORAGE: pathToFileURL(join(service.dataDir, 'repository')).href,
  };
  const args = ['restore', '--backup', backupId, '--to', join(service.folder, name), '--json'];
  return await runCairn(args, { environment });
}

test('the service goes on with the old key, then the new one, then with it only', async () => {
  const old = await keyText();
  const changed = (await cairn('key', 'change', '--json')).json<Changed>();
  const key = await keyText();
  assert.notEqual(key, old);
  const oldId = changed.old_master_key_id;
  const kit = (await cairn('key', 'export', '--json')).json<Record<string, string>>();
  assert.deepEqual([kit['master_key'], kit['master_key_id']], [key, changed.new_master_key_id]);
  // The service has the old key still.
  await cairn('backup', 'create', '--instance', 'shop-server', '--name', 'between', '--wait');
  await service.restart();
  await cairn('backup', 'create', '--instance', 'shop-server', '--name', 'after', '--wait');
  const text = await cairn('key', 'change');
  assert.match(text.stdout, new RegExp(`in use instead of ${oldId}[^]*cairn key retire ${oldId}`));
  assert.ok(!text.stdout.includes(key) && !text.stdout.includes(old));
  for (const [name, given] of [
    ['by-old', old],
    ['by-new', key],
  ] as const) {
    const restored = await restoreWith(given, name);
    assert.equal(restored.exitCode, 0, restored.stderr);
  }
  await cairn('key', 'retire', oldId);
  await assert.rejects(access(`${keyPath()}.${oldId}.retired`), { code: 'ENOENT' });
  const refused = await restoreWith(old, 'by-retired');
  assert.notEqual(refused.exitCode, 0);
  assert.match(
    refused.stdout + refused.stderr,
    new RegExp(`needs key ${changed.new_master_key_id}`),
  );
  assert.equal((await restoreWith(key, 'by-key')).exitCode, 0);
  await cairn('backup', 'create', '--instance', 'shop-server', '--name', 'last', '--wait');
  await cairn('check', '--read-data');
});

test('another machine takes the new key over with the kit, and no foreign one', async () => {
  const old = await keyText();
  const other = join(service.folder, 'worker machine');
  const environment = {
    CAIRN_STORAGE: pathToFileURL(join(service.dataDir, 'repository')).href,
    CAIRN_DATA: other,
  };
  const key = async (input: string): Promise<CliResult> =>
    await runCairn(['key', 'import'], { environment, input });
  assert.equal((await key(old)).exitCode, 0);
  const { new_master_key_id: id } = (await cairn('key', 'change', '--json')).json<Changed>();
  const imported = await key(await keyText());
  assert.equal(imported.exitCode, 0, imported.stderr);
  assert.match(imported.stdout, new RegExp(`key ${id} opens`));
  assert.equal(await keyText(join(other, 'master.key')), await keyText());
  const back = await key(old);
  assert.notEqual(back.exitCode, 0, 'never back to the old one');
  await writeFile(join(other, 'master.key'), `${'ab'.repeat(32)}\n`);
  assert.notEqual((await key(await keyText())).exitCode, 0);
  assert.equal(await keyText(join(other, 'master.key')), 'ab'.repeat(32));
});
