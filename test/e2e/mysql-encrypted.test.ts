// A backup of a server that encrypts its tables: nothing of it is readable without the keys, which
// are never in it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { FileSource, StartedServer } from '../../src/engines/engine.ts';
import { withQueries } from '../../src/engines/mysql/connection.ts';
import { findServer, stopManagedServer } from '../../src/engines/mysql/managed-server.ts';
import { findTools } from '../../src/engines/mysql/server-binaries.ts';
import { startManaged } from '../../src/engines/mysql/start-managed.ts';
import type { StartParts } from '../../src/engines/mysql/start-restored.ts';
import { startRestored } from '../../src/engines/mysql/start-restored.ts';
import type { CairnError } from '../../src/model/errors.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { giveFile } from '../../src/platform/server-folder.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import { takeToolBackup } from '../fixtures/mariadb-backup.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';

const signal = AbortSignal.timeout(180_000);
const log = silentLogger;

suite('an encrypted backup of MariaDB', { timeout: 180_000 }, () => {
  let folder: string;
  let keyFile: string;
  let server: MariadbServer;
  let source: FileSource;
  let parts: StartParts;
  const started: StartedServer[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cairn-mysql-encrypted-'));
    await chmod(folder, 0o711);
    const identity = await findServerIdentity(null);
    keyFile = join(folder, 'keys');
    await writeKeys(keyFile);
    server = await startMariadb({
      settings: {
        'plugin-load-add': 'file_key_management',
        'file-key-management-filename': keyFile,
        'innodb-encrypt-tables': 'FORCE',
        'innodb-encrypt-log': 'ON',
        'encrypt-binlog': 'ON',
      },
    });
    await server.session(async (query) => {
      await query('create database shop');
      await query('create table shop.secrets (id int primary key, body varchar(60))');
      await query(
        `insert into shop.secrets
           select seq, 'the quick brown fox' from shop.seq_1_to_2000`,
      );
    });
    source = await takeToolBackup(server, join(folder, 'unpacked'));
    const tools = await findTools(server.serverVersion, { binDirs: [], identity });
    const unexpected = async (): Promise<never> => assert.fail('nothing is to be replayed');
    parts = {
      ...{ clock: systemClock, random: systemRandom, identity, extraConfigFile: null },
      ...{ tools, replayLog: unexpected, loadDump: unexpected },
    };
  });

  after(async () => {
    for (const { managed } of started) {
      await stopManagedServer(managed, systemClock, AbortSignal.timeout(60_000));
    }
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function writeKeys(path: string): Promise<void> {
    await writeFile(path, `1;${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
    await giveFile(path, await findServerIdentity(null));
  }

  async function restore(name: string, more: Partial<StartParts> = {}): Promise<StartedServer> {
    const restored = await startRestored(
      {
        ...{ source, homeDir: join(folder, name), recovery: null, port: 0, signal, log },
        login: { connection: server.connection, rolePassword: 'ensure' },
        onProgress: () => undefined,
      },
      { ...parts, ...more },
    );
    started.push(restored);
    return restored;
  }

  async function countRows({ connection }: StartedServer): Promise<number> {
    return await withQueries(connection, { signal }, async (query) => {
      const [row] = await query('select count(*) as n from shop.secrets');
      return Number(row?.['n']);
    });
  }

  test('is restored where the keys are in their place', async () => {
    const bytes = await readFile(join(folder, 'unpacked', 'shop', 'secrets.ibd')).catch(() =>
      readFile(join(folder, 'unpacked', 'shop', 'secrets.new')),
    );
    assert.ok(!bytes.includes('quick brown'), 'the backup is not readable');
    assert.equal(await countRows(await restore('in-place')), 2000);
  });

  test('says which file of which plugin is missing, before anything is restored', async () => {
    await rename(keyFile, `${keyFile}-moved`);
    await assert.rejects(restore('without'), (error: CairnError) => {
      assert.equal(error.kind, 'engine-refused');
      assert.match(error.message, /file_key_management/);
      assert.ok(error.message.includes(keyFile));
      assert.match(error.hint ?? '', /CAIRN_MYSQL_CONFIG_FILE/);
      return true;
    });
    await assert.rejects(stat(join(folder, 'without', 'data')), { code: 'ENOENT' });
  });

  test('is restored and started again with keys that lie elsewhere here', async () => {
    const extraConfigFile = join(folder, 'extra.cnf');
    await writeFile(extraConfigFile, `[mysqld]\nfile_key_management_filename=${keyFile}-moved\n`);
    const restored = await restore('elsewhere'.repeat(12), { extraConfigFile });
    assert.equal(await countRows(restored), 2000);
    const original = join(folder, 'unpacked', 'backup-my.cnf');
    assert.equal(
      await readFile(join(restored.managed.dataDir, 'backup-my.cnf'), 'utf8'),
      await readFile(original, 'utf8'),
    );
    // The folder's path is too long for a socket, which lies elsewhere until it is stopped.
    const config = await readFile(join(restored.managed.homeDir, 'server.cnf'), 'utf8');
    const socketPath = /^socket="(.*)"$/m.exec(config)?.[1] ?? '';
    assert.ok((await stat(socketPath)).isSocket());
    await stopManagedServer(restored.managed, systemClock, signal);
    await assert.rejects(stat(dirname(socketPath)), { code: 'ENOENT' });
    const again = { connection: restored.connection, port: 0, rolePassword: 'keep' } as const;
    const options = { ...again, signal, log };
    await assert.rejects(startManaged(restored.managed, options, parts), (error: CairnError) => {
      assert.match(error.hint ?? '', /CAIRN_MYSQL_CONFIG_FILE/);
      return isErrorKind(error, 'engine-refused');
    });
    assert.equal(await findServer(restored.managed.dataDir), null);
    const server = await startManaged(restored.managed, options, { ...parts, extraConfigFile });
    assert.equal(await countRows(server), 2000);
  });

  test('is not prepared with other keys, and no server starts on what is left', async () => {
    await writeKeys(keyFile);
    await assert.rejects(restore('other-keys'), (error: CairnError) => {
      assert.match(error.message, /encrypted by plugin file_key_management, and was not prepared/);
      assert.match(error.hint ?? '', /prepare\.log/);
      return error.kind === 'engine-refused';
    });
    const dataDir = join(folder, 'other-keys', 'data');
    await assert.rejects(stat(join(dataDir, 'ibdata1')), { code: 'ENOENT' });
    assert.ok((await stat(join(dataDir, 'ibdata1.unprepared'))).size > 0);
  });
});
