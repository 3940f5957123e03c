// Differential backups of SQL Server and backups of chosen databases, against the small server of
// the tests.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { never, testBackupId, testInstanceId } from '../fixtures/repositories.ts';
import { failed, restoreByHand } from '../fixtures/sqlserver-by-hand.ts';
import type { SceneBackup } from '../fixtures/sqlserver-scene.ts';
import { createSqlServerScene } from '../fixtures/sqlserver-scene.ts';

describe('differential backups of SQL Server', () => {
  it('hold the full one unread, and what has changed since', async () => {
    await using scene = await createSqlServerScene();
    const full = await scene.backUp();
    scene.write('shop', 1, 2);
    const first = await scene.backUp({ kind: 'differential' });
    scene.write('shop', 2, 9);
    const second = await scene.backUp({ kind: 'differential' });
    const wanted = scene.database('shop').digest();
    scene.write('shop', 10);
    assert.equal(await restoreByHand(scene, second, 'shop'), wanted);
    assert.notEqual(await restoreByHand(scene, first, 'shop'), wanted);
    assert.deepEqual([first.notes.findings, second.notes.findings], [[], []]);
    for (const { notes, reader } of [first, second]) {
      const [shop] = notes.databases;
      assert.deepEqual(shop?.full, full.notes.databases[0]?.full);
      const [path = ''] = shop?.full.paths ?? [];
      assert.deepEqual(reader.findFile(path), full.reader.findFile(path));
    }
    const size = ({ reader, notes }: SceneBackup): number =>
      reader.findFile(notes.databases[0]?.differential?.paths[0] ?? '')?.sizeBytes ?? 0;
    assert.ok(size(second) > size(first) && size(first) > 0);
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('are not based on the full backup of somebody else', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    await scene.backUp({ previous: null });
    scene.write('shop', 1);
    const backup = await scene.backUp({ kind: 'differential', previous: testBackupId(1) });
    const [shop, stock] = backup.notes.databases;
    assert.deepEqual([shop?.differential, stock?.differential], [null, null]);
    assert.match(
      backup.notes.findings.join('\n'),
      /shop: taken in full: another full backup was taken by login backup/,
    );
    assert.equal(await restoreByHand(scene, backup, 'shop'), scene.database('shop').digest());
  });

  it('are thrown away where only the server knew of another full backup', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    // Taken, and cleaned out of the history.
    scene.database('shop').base = { id: crypto.randomUUID(), lsn: scene.database('shop').lsn };
    scene.database('stock').base = null;
    const backup = await scene.backUp({ kind: 'differential' });
    assert.deepEqual(
      backup.notes.databases.map(({ differential }) => differential),
      [null, null],
    );
    assert.match(backup.notes.findings.join('\n'), /shop: taken in full: what has changed/);
    assert.equal(await restoreByHand(scene, backup, 'shop'), scene.database('shop').digest());
    assert.deepEqual(await scene.listFolder(), []);
  });

  it('are full ones of a database that is new, or not the same any more', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    scene.database('shop').familyId = crypto.randomUUID();
    scene.server.world.history.length = 0;
    const backup = await scene.backUp({ kind: 'differential' });
    assert.match(backup.notes.findings.join('\n'), /shop: taken in full: it is another database/);
    assert.match(
      backup.notes.findings.join('\n'),
      /stock: taken in full: the server does not know/,
    );
    const alone = await scene.backUp({ kind: 'differential', previous: null });
    assert.match(
      alone.notes.findings.join('\n'),
      /shop: taken in full: the previous backup has no/,
    );
  });

  it('are full ones of a database that was restored meanwhile, and goes another way', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    // By hand, from that very backup: the base stays, and a new branch of the log begins.
    scene.database('shop').forkId = crypto.randomUUID();
    scene.write('shop', 6);
    const backup = await scene.backUp({ kind: 'differential' });
    assert.match(backup.notes.findings.join('\n'), /shop: taken in full: .* does not follow/);
    const databases = [{ oldName: 'shop', newName: 'copy' }];
    await scene.restore(backup.source, { databases });
    assert.equal(scene.database('copy').digest(), scene.database('shop').digest());
  });

  it('follow a full one, whose findings name what others have done', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    const own = scene.server.world.history.at(-2);
    assert.ok(own);
    const devices = ['/somewhere/else.bak'];
    const id = scene.server.world.history.length + 1;
    scene.server.world.history.push({
      ...{ ...own, devices, backup_set_id: id, backup_set_uuid: crypto.randomUUID() },
      ...{
        media_set_id: id,
        startedMs: own.startedMs + 60_000,
        finishedMs: own.finishedMs + 60_000,
      },
    });
    const { notes } = await scene.backUp();
    assert.match(notes.findings.join('\n'), /shop: another full .* to \/somewhere\/else\.bak/);
  });
});

describe('backups of chosen databases of SQL Server', () => {
  it('hold these only, and change nothing for the differential ones', async () => {
    await using scene = await createSqlServerScene();
    await scene.backUp();
    scene.write('shop', 1);
    const partial = await scene.backUp({ databases: ['shop'] });
    assert.deepEqual(
      partial.notes.databases.map(({ name, full }) => [name, full.record['isCopyOnly']]),
      [['shop', true]],
    );
    assert.equal(await restoreByHand(scene, partial, 'shop'), scene.database('shop').digest());
    const differential = await scene.backUp({ kind: 'differential' });
    assert.deepEqual(differential.notes.findings, []);
    assert.ok(differential.notes.databases[0]?.differential);
  });

  it('begin the log of a database that has none', async () => {
    await using scene = await createSqlServerScene();
    const { notes } = await scene.backUp({ databases: ['shop', 'stock'] });
    assert.deepEqual(
      notes.databases.map(({ full }) => full.record['isCopyOnly']),
      [false, true],
    );
    assert.notEqual(scene.database('shop').logBackupLsn, null);
  });

  it('refuse names that the server does not have, and those of its own', async () => {
    await using scene = await createSqlServerScene();
    const find = (...names: string[]): Promise<readonly string[]> =>
      scene.driver.findMissingDatabases(scene.connection, names, never);
    assert.deepEqual(await find('shop', 'absent', 'stock'), ['absent']);
    const unknown = await failed(scene.backUp({ databases: ['shop', 'absent'] }), 'invalid');
    assert.equal(unknown.reason, 'database-unknown');
    for (const run of [find('shop', 'MSDB'), scene.backUp({ databases: ['master'] })]) {
      const own = await failed(run, 'invalid', /of the server itself/);
      assert.equal(own.reason, 'database-name-invalid');
    }
    assert.deepEqual(scene.server.world.history, []);
  });

  it('fail as a whole when the second of two fails', async () => {
    await using scene = await createSqlServerScene();
    scene.at('BACKUP DATABASE', 50, () => {
      scene.database('stock').damagedPages.add(3);
    });
    await failed(scene.backUp({ databases: ['shop', 'stock'] }), 'engine-refused', /3043/);
    assert.deepEqual(await scene.listFolder(), []);
    const stored = scene.repository.findBackup(testInstanceId, testBackupId(1), never);
    assert.equal(await stored, null);
  });
});
