// Backups of SQL Server end to end, against the small server of the tests: what is stored restores
// to the pages that the server had, and what is not whole is never taken for a backup.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { recordFromJson } from '../../src/engines/sqlserver/record-json.ts';
import { deadlineSignal, untilAborted } from '../../src/platform/deadline.ts';
import { afterBackup, failed, restoreByHand } from '../fixtures/sqlserver-by-hand.ts';
import type { SqlServerScene } from '../fixtures/sqlserver-scene.ts';
import { createSqlServerScene } from '../fixtures/sqlserver-scene.ts';
import { sqlError } from '../fixtures/tds/sql-messages.ts';

const awkward = "a]b'; DROP DATABASE [x] \u{1f4be}";

describe('full backups of SQL Server', () => {
  it('hold every database of users as it was, and leave nothing behind', async () => {
    await using scene = await createSqlServerScene({
      databases: {
        shop: { pageCount: 60, recoveryModel: 'FULL' },
        [awkward]: { pageCount: 30, recoveryModel: 'SIMPLE' },
      },
      offsetMinutes: -300,
    });
    scene.write('shop', 3, 4);
    scene.write(awkward, 7);
    const told: number[] = [];
    const backup = await scene.backUp({
      onProgress: (done, total) => {
        assert.equal(total, 90 * 8192);
        told.push(done);
      },
    });
    const wanted = ['shop', awkward].map((name) => scene.database(name).digest());
    scene.write('shop', 5);
    assert.deepEqual(await scene.listFolder(), []);
    assert.deepEqual(
      told,
      told.toSorted((a, b) => a - b),
    );
    assert.ok(told.length > 10 && told.at(-1) === 90 * 8192, String(told));
    assert.deepEqual(backup.notes.skipped, []);
    assert.deepEqual(backup.notes.findings, []);
    assert.equal(backup.notes.server.offsetMinutes, -300);
    assert.equal(backup.result.serverVersion, '16.0.4195.2-EE');
    for (const [index, name] of ['shop', awkward].entries()) {
      assert.equal(await restoreByHand(scene, backup, name), wanted[index]);
    }
    const [shop] = backup.notes.databases;
    const record = recordFromJson(shop?.full.record);
    assert.equal(record.id, scene.server.world.history[0]?.backup_set_uuid);
    assert.equal(typeof shop?.full.record['lastLsn'], 'string');
    const { startPosition, stopPosition, contents } = backup.result;
    assert.ok(startPosition.engine === 'sqlserver' && stopPosition.engine === 'sqlserver');
    assert.ok(startPosition.moment < stopPosition.moment);
    assert.deepEqual(
      contents?.databases.map(({ name }) => name),
      ['shop', awkward],
    );
  });

  it('are watched from a second connection while the server is silent', async () => {
    await using scene = await createSqlServerScene({
      databases: { shop: { pageCount: 100, recoveryModel: 'FULL' } },
    });
    const { world } = scene.server;
    const heard: number[] = [];
    const wanted = Promise.withResolvers<void>();
    scene.at('BACKUP DATABASE', 1, async () => {
      for (const id of world.requests.keys()) world.requests.set(id, 37);
      await untilAborted(wanted.promise, deadlineSignal(20_000));
    });
    await scene.backUp({
      onProgress: (done) => {
        heard.push(done / (100 * 8192));
        if (done > 0) wanted.resolve();
      },
    });
    assert.deepEqual(heard.slice(0, 2), [0, 0.185], 'half of 37 %: the server has not said a word');
    world.denied.add('VIEW SERVER STATE');
    await scene.backUp();
  });

  it('are compressed by the server only where the connection says so', async () => {
    await using scene = await createSqlServerScene();
    const sent: string[] = [];
    scene.server.world.onStatement = (text) => {
      if (text.startsWith('BACKUP DATABASE')) sent.push(text);
    };
    await scene.backUp();
    const { connection } = scene;
    const options = { ...connection.options, backupCompression: 'true' };
    await scene.backUp({ connection: { ...connection, options } });
    const words = sent.map((text) => /\b(NO_)?COMPRESSION\b/.exec(text)?.[0]);
    assert.deepEqual([...new Set(words)], ['NO_COMPRESSION', 'COMPRESSION']);
  });

  it('lie in several files where the database is large', async () => {
    await using scene = await createSqlServerScene();
    scene.database('shop').reportedBytes = 600 * 1024 ** 3;
    scene.write('shop', 3);
    const full = await scene.backUp();
    assert.equal(full.notes.databases[0]?.full.paths.length, 3);
    assert.equal(await restoreByHand(scene, full, 'shop'), scene.database('shop').digest());
    scene.write('shop', 4, 5);
    const changes = await scene.backUp({ kind: 'differential' });
    assert.equal(changes.notes.databases[0]?.differential?.paths.length, 3);
    assert.equal(await restoreByHand(scene, changes, 'shop'), scene.database('shop').digest());
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('tell no total where the login may not see the sizes', async () => {
    await using scene = await createSqlServerScene();
    scene.server.world.denied.add('VIEW ANY DEFINITION');
    await scene.backUp({ onProgress: (_done, total) => assert.equal(total, null) });
  });

  it('leave out what cannot or must not be backed up here, and say why', async () => {
    await using scene = await createSqlServerScene({
      folderOnServer: '\\\\files\\cairn',
      databases: Object.fromEntries(
        ['shop', 'half', 'elsewhere', 'mine', 'reports', 'cairn_restore_x_0'].map((name) => [
          name,
          { pageCount: 5, recoveryModel: 'FULL' as const },
        ]),
      ),
    });
    scene.database('half').state = 'RESTORING';
    scene.database('reports').isStandby = true;
    scene.database('elsewhere').replicaRole = 'secondary';
    scene.database('elsewhere').isPreferredReplica = false;
    scene.database('mine').replicaRole = 'secondary';
    const { notes } = await scene.backUp();
    assert.deepEqual(
      notes.skipped.map(({ name }) => name),
      ['half', 'elsewhere', 'reports', 'cairn_restore_x_0'],
    );
    assert.match(String(notes.databases[0]?.full.record['device']), /^\\\\files\\cairn\\/);
    assert.match(String(notes.skipped[0]?.why), /RESTORING/);
    assert.match(String(notes.skipped[1]?.why), /another replica/);
    assert.deepEqual(
      notes.databases.map(({ name, full }) => [name, full.record['isCopyOnly']]),
      [
        ['shop', false],
        ['mine', true],
      ],
    );
    assert.match(notes.findings.join('\n'), /mine: taken on a secondary replica, as a copy/);
    scene.database('shop').state = 'RESTORING';
    scene.database('mine').isPreferredReplica = false;
    const error = await failed(scene.backUp(), 'engine-refused');
    assert.match(error.message, /no database to back up .*shop: it is RESTORING/);
  });

  it('are refused by a server that has none', async () => {
    await using scene = await createSqlServerScene();
    scene.server.world.engineEdition = 5;
    await failed(scene.backUp(), 'engine-refused', /Azure SQL Database/);
  });

  it('know the certificate that they are worthless without', async () => {
    await using scene = await createSqlServerScene();
    scene.database('shop').encryption = { certificate: 'tde', keySavedAt: null };
    const { notes } = await scene.backUp();
    assert.equal(notes.databases[0]?.full.encryptorThumbprint, '0x746465');
    assert.equal(notes.databases[1]?.full.encryptorThumbprint, null);
    scene.database('shop').encryption = { certificate: 'm', keySavedAt: null, isModuleKey: true };
    const other = await scene.backUp();
    assert.equal(other.notes.databases[0]?.full.encryptorThumbprint, null);
    scene.server.world.denied.add('VIEW SERVER STATE');
    const unknown = await scene.backUp();
    assert.match(unknown.notes.findings.join('\n'), /shop: encrypted, and the login may not see/);
  });

  it('of a login that may not have backups read are taken, and told to be unverified', async () => {
    await using scene = await createSqlServerScene();
    scene.server.world.denied.add('CREATE DATABASE');
    const { notes } = await scene.backUp();
    assert.equal(notes.databases.length, 2);
    assert.match(notes.findings.join('\n'), /shop: not verified.*CREATE DATABASE/);
  });

  it('are not taken for whole where the server, its history and the files disagree', async () => {
    await using scene = await createSqlServerScene();
    const { world } = scene.server;
    // The history has no row.
    afterBackup(scene, () => void world.history.pop());
    await failed(scene.backUp(), 'engine-refused', /its history does not have/);
    // The file is cut short before the server reads it again.
    afterBackup(scene, async () => await cutFile(scene, 300_000));
    await failed(scene.backUp(), 'engine-refused', /not whole/);
    // The same by less than the size that the history has, so that only the server can tell.
    afterBackup(scene, async () => await cutFile(scene, 8192));
    await failed(scene.backUp(), 'engine-refused', /not whole/);
    // Cut behind the server's back, once it has found the file whole.
    scene.at('RESTORE VERIFYONLY', 100, async () => await cutFile(scene, 8192));
    await failed(scene.backUp(), 'engine-refused', /have changed since/);
    // Another file lies there under the name.
    afterBackup(scene, async () => {
      await writeFile(await onlyFile(scene), Buffer.alloc(2_000_000));
    });
    await failed(scene.backUp(), 'engine-refused', /not whole.*3242/);
    // An older backup of the same database does.
    let older = Buffer.alloc(0);
    afterBackup(scene, async () => {
      older = await readFile(await onlyFile(scene));
    });
    await scene.backUp();
    afterBackup(scene, async () => await writeFile(await onlyFile(scene), older));
    await failed(scene.backUp(), 'engine-refused', /not whole: the file holds/);
    // Nobody but the history can tell the size.
    world.denied.add('CREATE DATABASE');
    afterBackup(scene, async () => await cutFile(scene, 600_000));
    await failed(scene.backUp(), 'engine-refused', /not whole: the history says that it has/);
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('are whole where the server counts a little more than lies there, and tell it', async () => {
    await using scene = await createSqlServerScene();
    const { history } = scene.server.world;
    afterBackup(scene, async () => {
      const { size } = await stat(await onlyFile(scene));
      const set = history.pop();
      if (set) history.push({ ...set, backup_size: size + 4096 });
    });
    const backup = await scene.backUp();
    assert.match(backup.notes.findings.join(), /shop: its files are 4096 bytes shorter than/);
    assert.equal(await restoreByHand(scene, backup, 'shop'), scene.database('shop').digest());
  });

  it('are not taken for what the history does not call them', async () => {
    await using scene = await createSqlServerScene();
    const { history } = scene.server.world;
    const changes = [
      { is_copy_only: true },
      { has_backup_checksums: false },
      { type: 'I' as const },
      { devices: ['/x/1.bak'] },
    ];
    for (const change of changes) {
      afterBackup(scene, () => {
        const set = history.pop();
        if (set === undefined) return;
        const devices = [...set.devices, ...(change.devices ?? [])];
        history.push({ ...set, ...change, devices });
      });
      await failed(scene.backUp(), 'engine-refused', /not whole: the history/);
    }
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('end with the first thing that the server says', async () => {
    await using scene = await createSqlServerScene();
    scene.database('stock').damagedPages.add(5);
    const damaged = await failed(scene.backUp(), 'engine-refused', /stock.*page \(1:5\).*3043/);
    assert.match(String(damaged.hint), /CHECKDB/);
    assert.deepEqual(await scene.listFolder(), []);
    scene.database('stock').damagedPages.clear();
    scene.at('BACKUP DATABASE', 40, () => {
      throw sqlError(3202, 'x.bak', '112(There is not enough space on the disk.)');
    });
    await failed(scene.backUp(), 'storage-full', /no space left/);
    assert.deepEqual(await scene.listFolder(), []);
    scene.server.world.denied.add('msdb');
    await failed(scene.backUp(), 'engine-refused', /SELECT permission.*229/);
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('end at once, and leave nothing behind, when they are cancelled', async () => {
    await using scene = await createSqlServerScene();
    for (const statement of ['BACKUP DATABASE', 'RESTORE VERIFYONLY']) {
      const controller = new AbortController();
      scene.at(statement, 40, () => controller.abort());
      await failed(scene.backUp({ signal: controller.signal }), 'cancelled');
      assert.deepEqual(await scene.listFolder(), []);
    }
  });

  it('go on after a lost connection where the history has the backup', async () => {
    await using scene = await createSqlServerScene();
    afterBackup(scene, () => scene.server.dropAll());
    const backup = await scene.backUp();
    assert.equal(await restoreByHand(scene, backup, 'shop'), scene.database('shop').digest());
    assert.equal(scene.server.world.history.length, 2, 'nothing was taken twice');
  });

  it('fail after a lost connection where it has none', async () => {
    await using scene = await createSqlServerScene();
    scene.at('BACKUP DATABASE', 40, () => scene.server.dropAll());
    await failed(scene.backUp(), 'engine-unreachable');
    assert.deepEqual(scene.server.world.history, []);
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('remove what an attempt left that died, and nothing else', async () => {
    await using scene = await createSqlServerScene();
    let left = '';
    scene.at('BACKUP DATABASE', 100, async () => {
      [left = ''] = await scene.listFolder();
    });
    await scene.backUp();
    const others = ['cairn-base-0123456789abcdef-1.1of1.bak', 'cairn-log-1.1of1.bak', 'notes.txt'];
    for (const name of [...others, left]) await writeFile(join(scene.folder, name), 'old');
    await scene.backUp();
    assert.deepEqual(await scene.listFolder(), others);
  });

  it('fail where another Cairn removes their files, whenever it does', async () => {
    await using scene = await createSqlServerScene();
    const removeAll = async () => {
      for (const name of await scene.listFolder()) await rm(join(scene.folder, name));
    };
    afterBackup(scene, removeAll);
    await failed(scene.backUp(), 'storage-unavailable');
    scene.at('RESTORE VERIFYONLY', 100, removeAll);
    await failed(scene.backUp(), 'storage-unavailable');
  });

  it('tell both paths where the server writes to another folder', async () => {
    await using scene = await createSqlServerScene();
    const here = await mkdtemp(join(tmpdir(), 'cairn-elsewhere-'));
    try {
      const options = { ...scene.connection.options, backupFolderHere: here };
      const run = scene.backUp({ connection: { ...scene.connection, options } });
      const error = await failed(run, 'storage-unavailable');
      assert.ok(error.message.includes(scene.folder) && error.message.includes(here));
    } finally {
      await rm(here, { recursive: true });
    }
    const { options } = scene.connection;
    const gone = { ...scene.connection, options: { ...options, backupFolderHere: here } };
    await failed(scene.backUp({ connection: gone }), 'storage-unavailable', /is not there/);
  });
});

async function onlyFile({ folder }: SqlServerScene): Promise<string> {
  const [name = ''] = await readdir(folder);
  return join(folder, name);
}

async function cutFile(scene: SqlServerScene, byBytes: number): Promise<void> {
  const path = await onlyFile(scene);
  const { size } = await stat(path);
  await truncate(path, size - byBytes);
}
