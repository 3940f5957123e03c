// The specification of the repository format, proven by a reader that knows nothing else:
// scripts/extract-backup.ts runs as a program, and PostgreSQL judges the folder that it made.
import assert from 'node:assert/strict';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import { createPostgresqlDriver } from '../src/engines/postgresql/driver.ts';
import type { CommandResult, Identity } from '../src/platform/child-process.ts';
import { runCommand } from '../src/platform/child-process.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { findServerIdentity } from '../src/platform/server-user.ts';
import type { ObjectKind } from '../src/repository/format.ts';
import { KeyRing } from '../src/repository/keys.ts';
import type { Repository } from '../src/repository/repository.ts';
import { encodeFrames, ObjectEncoder, SealedObject } from '../src/repository/sealed-object.ts';
import { LocalStorage } from '../src/storage/local.ts';
import { backUp } from './fixtures/engine-scene.ts';
import { assertExtracted, changed, modelFiles, pageSizeBytes } from './fixtures/extracted-files.ts';
import { startPostgres } from './fixtures/postgres-server.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';

const script = resolve(import.meta.dirname, '../scripts/extract-backup.ts');
const debianBin = '/usr/lib/postgresql/15/bin';
const fill = `
  create table ledger as select g as id, md5(g::text) as body from generate_series(1, 50000) g;
  create table far tablespace far as select id, body from ledger where id % 3 = 0;
  delete from ledger where id between 10000 and 15000`;

let scratch: string;
let scratchCount = 0;
const scratchPath = (): string => join(scratch, `target-${++scratchCount}`);

before(async () => {
  scratch = await fs.mkdtemp(join(tmpdir(), 'cairn-extract-'));
  await fs.chmod(scratch, 0o755);
});
after(() => fs.rm(scratch, { recursive: true, force: true }));

type Request = {
  readonly repository: string;
  readonly key: readonly string[];
  readonly backupId: string;
  readonly to: string;
  readonly more?: readonly string[];
};
type RefusalOptions = Partial<Request> & { readonly untouched?: true };

async function extract(request: Request): Promise<CommandResult> {
  const { repository, key, backupId, to, more = [] } = request;
  const args = [script, '--repository', repository, ...key, '--backup', backupId, '--to', to];
  return await runCommand(process.execPath, [...args, ...more], { timeoutMs: 120_000 });
}

async function openStore(folder: string, masterKey: MasterKey): Promise<Repository> {
  const storage = await LocalStorage.open(folder, systemRandom);
  return (await openTestRepository(storage, masterKey)).repository;
}

async function exists(path: string): Promise<boolean> {
  return (await fs.lstat(path).catch(() => null)) !== null;
}

async function flipBit(path: string, at: number): Promise<void> {
  const bytes = await fs.readFile(path);
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  await fs.writeFile(path, bytes);
}

function folderOf(number: number): string {
  return `instances/${testInstanceId}/backups/${testBackupId(number)}`;
}
const manifest = `${folderOf(2)}/manifest`;

/** The first object of a kind that a backup wrote. */
async function findObject(copy: string, number: number, kind: string): Promise<string> {
  const [name] = (await fs.readdir(join(copy, folderOf(number), kind))).sort();
  assert.ok(name, kind);
  return `${folderOf(number)}/${kind}/${name}`;
}

/** What only someone with the master key can do: other content, sealed as it should be. */
async function forge(
  copy: string,
  masterKey: MasterKey,
  object: { readonly name: string; readonly kind: ObjectKind },
  change: (frames: readonly Buffer[]) => void,
): Promise<void> {
  const storage = await LocalStorage.open(copy, systemRandom);
  const keys = new KeyRing(storage, masterKey);
  const path = join(copy, object.name);
  const place = { ...object, sizeBytes: (await fs.stat(path)).size };
  const options = { whole: true, signal: never };
  const opened = await SealedObject.open({ storage, keys }, place, options);
  const frames: Buffer[] = [];
  for (let frame = 0; frame < opened.frameCount; frame++) {
    frames.push(Buffer.from(await opened.readFrame(frame, never)));
  }
  change(frames);
  const dataKey = await keys.get(`${testInstanceId}.1`, never);
  await fs.writeFile(path, encodeFrames(new ObjectEncoder({ ...object, dataKey }), frames));
}

/** Puts a text of the same length in the place of another one. */
function replaceText(frame: Buffer | undefined, old: RegExp, text: string): void {
  const found = old.exec(String(frame));
  assert.ok(frame && found && found[0].length === text.length, String(old));
  frame.write(text, Buffer.byteLength(String(frame).slice(0, found.index)));
}

suite('a repository of model files', () => {
  let repository: string;
  let masterKey: MasterKey;
  let key: readonly string[];
  const first = modelFiles();
  const second = changed(first);

  before(async () => {
    repository = join(scratch, 'model');
    masterKey = MasterKey.generate();
    key = ['--key', masterKey.reveal()];
    await using store = await openStore(repository, masterKey);
    await storeFiles(store, first, { backupId: testBackupId(1), pageSizeBytes });
    await storeFiles(store, second, {
      ...{ backupId: testBackupId(2), previousBackupId: testBackupId(1), pageSizeBytes },
    });
  });

  test('every byte of both generations comes back, with modes, times and holes', async () => {
    for (const [number, files] of [first, second].entries()) {
      const to = scratchPath();
      const backupId = testBackupId(number + 1);
      const done = await extract({ repository, key, backupId, to });
      assert.deepEqual([done.exitCode, done.stderr], [0, '']);
      assert.match(done.stdout, new RegExp(`^backup ${backupId}: ${files.size} files[^\n]*\n$`));
      await assertExtracted(to, files);
      assert.ok((await fs.stat(join(to, 'base/1/holes'))).blocks < 100, 'holes are not sparse');
    }
  });

  test('the key may come from a file; only an empty target is written to', async () => {
    const [keyFile, to] = [join(scratch, 'key'), scratchPath()];
    await fs.writeFile(keyFile, `${masterKey.reveal()}\n`);
    await fs.mkdir(to, { mode: 0o755 });
    const request = { repository, key: ['--key-file', keyFile], backupId: testBackupId(1), to };
    assert.equal((await extract(request)).exitCode, 0);
    await assertExtracted(to, first);
    const again = await extract({ ...request, backupId: testBackupId(2) });
    assert.equal(again.exitCode, 1);
    assert.match(again.stderr, /is not empty/);
    await assertExtracted(to, first);
  });

  /** Damages an object in a copy: the script must name it and claim nothing. */
  async function assertRefused(
    named: string,
    damage: (path: string, copy: string) => Promise<unknown>,
    { untouched, ...changes }: RefusalOptions,
  ): Promise<void> {
    const [copy, to] = [scratchPath(), scratchPath()];
    await fs.cp(repository, copy, { recursive: true });
    await damage(join(copy, named), copy);
    const request = { repository: copy, key, backupId: testBackupId(2), to, ...changes };
    const done = await extract(request);
    assert.deepEqual([done.exitCode, done.stdout], [1, ''], named);
    assert.match(done.stderr, /^extract-backup: [^\n]+\n$/);
    assert.ok(done.stderr.includes(named), `${done.stderr} does not name ${named}`);
    if (untouched) assert.equal(await exists(to), false, named);
    assert.equal(await exists(join(to, 'global/pg_control')), false, 'a server could start');
    await fs.rm(copy, { recursive: true });
  }

  const nothing = async (): Promise<void> => undefined;
  const rewriteMarker = (old: RegExp, text: string) => {
    return async (_: string, copy: string): Promise<void> => {
      const path = join(copy, 'repository.json');
      await fs.writeFile(path, (await fs.readFile(path, 'utf8')).replace(old, text));
    };
  };

  test('another master key is refused, also when it claims to be the right one', async () => {
    const other = MasterKey.generate();
    const options = { key: ['--key', other.reveal()], untouched: true } as const;
    await assertRefused('repository.json', nothing, options);
    const claim = rewriteMarker(new RegExp(masterKey.id), other.id);
    await assertRefused(`keys/${testInstanceId}.1.json`, claim, options);
  });

  test('a repository whose data key was rotated and whose master key was changed', async () => {
    const [copy, other] = [scratchPath(), MasterKey.generate()];
    await fs.cp(repository, copy, { recursive: true });
    const when = { now: new Date(0), signal: never };
    await using store = await openStore(copy, masterKey);
    await store.rotateKey(testInstanceId, when.now, never);
    const previousBackupId = testBackupId(2);
    await storeFiles(store, first, { backupId: testBackupId(3), previousBackupId, pageSizeBytes });
    await store.addMasterKey({ from: masterKey, to: other }, when);
    const otherKey = ['--key', other.reveal()];
    const assertComesBack = async (number: number, files: ModelFiles, key: readonly string[]) => {
      const to = scratchPath();
      const request = { repository: copy, key, backupId: testBackupId(number), to };
      assert.deepEqual((await extract(request)).stderr, '');
      await assertExtracted(to, files);
    };
    for (const given of [key, otherKey]) {
      await assertComesBack(2, second, given);
      await assertComesBack(3, first, given);
    }
    await using changed = await openStore(copy, other);
    await changed.retireMasterKey(masterKey.id, when);
    await assertComesBack(2, second, otherKey);
    await assertComesBack(3, first, otherKey);
    const old = { repository: copy, key, backupId: testBackupId(3), to: scratchPath() };
    assert.match((await extract(old)).stderr, new RegExp(`has another key, ${other.id}`));
  });

  test('an unknown backup and an unknown format are refused', async () => {
    for (const backupId of [testBackupId(3), '*']) {
      await assertRefused(`backup ${backupId}`, nothing, { backupId, untouched: true });
    }
    const future = rewriteMarker(/"format": ?1/, '"format":2');
    await assertRefused('repository.json: format 2', future, { untouched: true });
  });

  for (const kind of ['packs', 'maps']) {
    for (const number of [1, 2]) {
      test(`one flipped bit, a cut end or a lost object: ${kind} of backup ${number}`, async () => {
        const [name, untouched] = [await findObject(repository, number, kind), true as const];
        const { size } = await fs.stat(join(repository, name));
        // A later backup need not read every frame of an earlier one's objects, but knows sizes.
        const backupId = testBackupId(number);
        await assertRefused(name, (path) => flipBit(path, Math.floor(size / 3)), { backupId });
        await assertRefused(name, (path) => fs.truncate(path, size - 1), { untouched });
        await assertRefused(name, (path) => fs.unlink(path), { untouched });
      });
    }
  }

  test('damage anywhere in the manifest is found before the target is touched', async () => {
    const untouched = true;
    const { size } = await fs.stat(join(repository, manifest));
    for (let at = 0; at < size; at += Math.ceil(size / 12)) {
      await assertRefused(manifest, (path) => flipBit(path, at), { untouched });
    }
    const other = join(repository, folderOf(1), 'manifest');
    await assertRefused(manifest, (path) => fs.copyFile(other, path), { untouched });
    const forgeries: ((frames: readonly Buffer[]) => void)[] = [
      ([header]) => replaceText(header, /"directories":1/, '"directories":2'),
      ([header]) => replaceText(header, /"sha256":"./, '"sha256":"x'),
      ([, table]) => replaceText(table, /"mode":384/, '"mode":511'),
      ([, table]) => replaceText(table, /base\/3/, '../../'),
    ];
    const object = { name: manifest, kind: 'manifest' } as const;
    for (const change of forgeries) {
      const damage = (_: string, copy: string) => forge(copy, masterKey, object, change);
      await assertRefused(manifest, damage, { untouched });
    }
  });

  test('a page that has not its digest is refused', async () => {
    const name = await findObject(repository, 2, 'maps');
    const flipDigests = (frames: readonly Buffer[]): void => {
      for (const frame of frames) frame[frame.length - 1] = (frame.at(-1) ?? 0) ^ 1;
    };
    const damage = (_: string, copy: string): Promise<void> =>
      forge(copy, masterKey, { name, kind: 'maps' }, flipDigests);
    await assertRefused('has another page', damage, {});
  });
});

suite('a real server', () => {
  let identity: Identity | null;
  let repository: string;
  let key: readonly string[];
  let url: string;
  let expected: unknown[];
  const backupId = testBackupId(1);

  async function query(sql: string): Promise<unknown[]> {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  }
  const countRows = (): Promise<unknown[]> =>
    query(`select count(*), md5(string_agg(t::text, '|' order by id)) from ledger t union all
           select count(*), md5(string_agg(t::text, '|' order by id)) from far t`);

  async function run(program: string, args: readonly string[], user = identity): Promise<void> {
    const done = await runCommand(program, args, { timeoutMs: 120_000, identity: user });
    assert.equal(done.exitCode, 0, `${program} ${args.join(' ')}\n${done.stdout}${done.stderr}`);
  }

  async function giveToServer(...folders: string[]): Promise<void> {
    if (identity) await run('chown', ['-R', `${identity.uid}:${identity.gid}`, ...folders], null);
  }

  before(async () => {
    identity = await findServerIdentity(null);
    repository = join(scratch, 'server');
    const masterKey = MasterKey.generate();
    key = ['--key', masterKey.reveal()];
    await using store = await openStore(repository, masterKey);
    await using server = await startPostgres({ version: 'debian-15' });
    url = server.url;
    const tablespace = join(scratch, 'far away');
    await fs.mkdir(tablespace, { mode: 0o700 });
    await giveToServer(tablespace);
    await server.query(`create tablespace far location '${tablespace}'`);
    await server.query(fill);
    expected = await countRows();
    const driver = createPostgresqlDriver({
      ...{ binDirs: [], serverUser: null, clock: systemClock, random: systemRandom },
    });
    await using writer = await store.openWriter({
      ...{ instanceId: testInstanceId, backupId, previousBackupId: null },
      ...{ now: systemClock.now(), signal: never, log: silentLogger },
    });
    const base = await backUp(driver, driver.parseUrl(url), { sink: writer });
    await writer.commit({ ...testFacts(), base });
    await fs.rm(tablespace, { recursive: true });
  });

  test('pg_verifybackup accepts the folder, and a server on it has every row', async () => {
    const to = scratchPath();
    const done = await extract({ repository, key, backupId, to });
    assert.deepEqual([done.exitCode, done.stderr], [0, '']);
    const [oid = ''] = await fs.readdir(join(to, 'pg_tblspc'));
    const folder = join(`${to}-tablespaces`, oid);
    assert.equal(await fs.readlink(join(to, 'pg_tblspc', oid)), folder);
    assert.equal(await fs.readFile(join(to, 'tablespace_map'), 'utf8'), `${oid} ${folder}\n`);
    await giveToServer(to, `${to}-tablespaces`);
    await run(join(debianBin, 'pg_verifybackup'), ['--ignore', 'tablespace_map', to]);
    const control = (...args: string[]): Promise<void> =>
      run(join(debianBin, 'pg_ctl'), ['-D', to, '-s', '-w', '-t', '60', ...args]);
    const sockets = `-c unix_socket_directories=${to}`;
    try {
      await control('start', '-l', join(to, 'server.log'), '-o', sockets);
      assert.deepEqual(await countRows(), expected);
      const places = 'select pg_tablespace_location(oid) as at from pg_tablespace';
      assert.deepEqual(await query(`${places} where oid > 16383`), [{ at: folder }]);
    } finally {
      if (await exists(join(to, 'postmaster.pid'))) await control('stop', '-m', 'immediate');
    }
  });

  test('a tablespace goes where it is told, and only one that the backup has', async () => {
    const [to, elsewhere, tablespace] = [scratchPath(), scratchPath(), join(scratch, 'far away')];
    assert.equal((await extract({ repository, key, backupId, to: elsewhere })).exitCode, 0);
    const [oid] = await fs.readdir(join(elsewhere, 'pg_tblspc'));
    const more = ['--tablespace', `${oid}=${tablespace}`];
    assert.equal((await extract({ repository, key, backupId, to, more })).exitCode, 0);
    await giveToServer(to, tablespace);
    // At its old place the map is as it was, so PostgreSQL's own manifest fits without exception.
    await run(join(debianBin, 'pg_verifybackup'), [to]);
    const unknown = ['--tablespace', `1=${scratchPath()}`];
    const refused = await extract({ repository, key, backupId, to: scratchPath(), more: unknown });
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /--tablespace 1: /);
  });
});
