// Restores through the driver, of backups that the small SQL Server has taken: what a database
// holds afterwards, and what is refused before anything is written.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { targetTime } from '../../src/model/recovery-target.ts';
import type { Wish } from '../fixtures/sqlserver-restores.ts';
import {
  as,
  latest,
  refused,
  shopOnly,
  useRestores,
  usual,
} from '../fixtures/sqlserver-restores.ts';
import type { SceneBackup } from '../fixtures/sqlserver-scene.ts';

const backupId = 'b1' as Extract<RecoveryTarget, { readonly kind: 'name' }>['backupId'];
const restores = useRestores();
const {
  write,
  writeMarked,
  digestOf,
  now,
  backUp,
  takeLog,
  restore,
  names,
  assertNothingLeft,
  wait,
  wasBegun,
} = restores;

describe('a restore of a SQL Server backup', () => {
  it('brings databases back as the backup has them, under other names', async () => {
    const expected = { shop: write('shop', 1, 2, 3), stock: write('stock', 4) };
    const backup = await backUp();
    write('shop', 1, 5);
    const told: number[] = [];
    const restored = await restore(backup, {
      databases: [as('SHOP', 'copy'), as('stock', 'stock]2')],
      onProgress: (_phase, doneBytes, totalBytes) => {
        assert.ok(doneBytes <= totalBytes && doneBytes >= (told.at(-1) ?? 0));
        told.push(doneBytes);
      },
    });
    assert.equal(digestOf('copy'), expected.shop);
    assert.equal(digestOf('stock]2'), expected.stock);
    assert.notEqual(digestOf('shop'), expected.shop);
    await assertNothingLeft([...usual, 'copy', 'stock]2']);
    assert.ok(told.length > 10);
    const [shop] = restored;
    assert.deepEqual([shop?.oldName, shop?.newName], ['shop', 'copy']);
    const notes = shop?.notes?.join('\n') ?? '';
    assert.match(notes, /shop in \/var\/opt\/mssql\/data\/copy_test_[0-9a-f]{8}_1\.mdf/);
    assert.match(notes, /CHECKDB: no errors/);
    assert.match(notes, /compatibility level 160/);
    assert.match(notes, /no log was replayed/);
    assert.equal(restores.scene.database('copy').isSingleUser, false);
  });

  it('puts a differential backup on top of its full one', async () => {
    write('shop', 1, 2);
    await backUp();
    const expected = write('shop', 2, 3);
    const backup = await backUp('differential');
    write('shop', 4);
    await restore(backup, shopOnly);
    assert.equal(digestOf('copy'), expected);
    const sent = restores.statements.filter((text) => /^RESTORE DATABASE.*FROM/.test(text));
    assert.equal(sent.length, 2);
  });

  it('goes to a moment, by the clock of the server that wrote the log', async () => {
    const backup = await backUp();
    write('shop', 1, 2);
    await takeLog();
    const expected = write('shop', 3, 4);
    const at = now();
    write('shop', 5, 1);
    await takeLog();
    write('shop', 9);
    await takeLog();
    const [restored] = await restore(backup, { ...shopOnly, target: targetTime(at) });
    assert.equal(digestOf('copy'), expected);
    assert.equal(restores.archive.read.length, 2, 'more log than was needed');
    assert.match(restored?.notes?.join('\n') ?? '', /2 backups of it, as far as 2026-11-24T21:/);
    await assertNothingLeft([...usual, 'copy']);
  });

  it('leaves out what was committed at the moment when it is told to', async () => {
    const backup = await backUp();
    const expected = write('shop', 1, 2);
    write('shop', 3);
    const at = now();
    await takeLog();
    const target = { ...targetTime(at), isInclusive: false };
    await restore(backup, { ...shopOnly, target });
    assert.equal(digestOf('copy'), expected);
  });

  it('goes to the end of the log, to a position in it, and to a mark', async () => {
    const backup = await backUp();
    write('shop', 1);
    await takeLog();
    const expected = write('shop', 2);
    const lsn = restores.scene.database('shop').log.at(-1)?.lsn;
    const atMark = writeMarked('shop', 3, 'release 7');
    write('shop', 4);
    await takeLog();
    const atEnd = write('shop', 5);
    await takeLog();
    const named = (name: string): RecoveryTarget => ({
      ...{ kind: 'name', name, backupId, timeline: null },
    });
    const to = (newName: string): Wish => ({ databases: [as('shop', newName)] });
    await restore(backup, { ...to('end'), target: latest });
    assert.equal(digestOf('end'), atEnd);
    await restore(backup, { ...to('place'), target: named(`lsn:${lsn}`) });
    assert.equal(digestOf('place'), expected);
    await restore(backup, { ...to('mark'), target: named('release 7') });
    assert.equal(digestOf('mark'), atMark);
    const unknown = await refused(restore(backup, { ...to('x'), target: named('release 8') }));
    assert.equal(unknown.kind, 'invalid');
    assert.match(unknown.message, /holds the mark “release 8”/);
    await assertNothingLeft([...usual, 'end', 'place', 'mark']);
  });

  it('goes to a moment of a database that nobody has used since', async () => {
    const expected = digestOf('shop');
    const backup = await backUp();
    const early = now();
    await takeLog();
    await takeLog();
    await restore(backup, { databases: [as('shop', 'early')], target: targetTime(early) });
    write('shop', 1);
    const used = digestOf('shop');
    await takeLog();
    const at = targetTime(now());
    await takeLog();
    await restore(backup, { databases: [as('shop', 'late')], target: at });
    assert.deepEqual([digestOf('early'), digestOf('late')], [expected, used]);
  });

  it('looks at no more of the log than it may need', async () => {
    const backup = await backUp();
    const expected = write('shop', 1);
    const at = now();
    for (let hours = 0; hours < 8; hours++) {
      write('shop', 2);
      await takeLog();
      await takeLog('crm');
      wait(1);
    }
    await restore(backup, { ...shopOnly, target: targetTime(at) });
    assert.equal(digestOf('copy'), expected);
    assert.equal(restores.archive.sidesRead.length, 4);
    assert.equal(restores.archive.read.length, 1);
  });

  it('gives files that a database got meanwhile a place of their own', async () => {
    const backup = await backUp();
    write('shop', 1);
    const shop = restores.scene.database('shop');
    const path = '/var/opt/mssql/data/more.ndf';
    shop.files = [...shop.files, { logicalName: 'more', path, type: 'D' }];
    await takeLog();
    const [restored] = await restore(backup, { ...shopOnly, target: latest });
    const { files } = restores.scene.database('copy');
    const more = files.find(({ logicalName }) => logicalName === 'more');
    assert.match(more?.path ?? '', /\/copy_test_[0-9a-f]{8}_3\.ndf$/);
    assert.ok(restored?.notes?.[0]?.includes(more?.path ?? '?'));
  });

  it('gives several databases of one moment their state of it', async () => {
    const backup = await backUp();
    const expected = { shop: write('shop', 1, 2), crm: write('crm', 3) };
    const at = now();
    write('shop', 1);
    write('crm', 3);
    await takeLog('shop');
    await takeLog('crm');
    await restore(backup, {
      databases: [as('shop', 'shop2'), as('crm', 'crm2')],
      target: targetTime(at),
    });
    assert.deepEqual({ shop: digestOf('shop2'), crm: digestOf('crm2') }, expected);
  });
});

describe('a restore that cannot be', () => {
  it('is refused before anything is written where log is missing in the middle', async () => {
    const backup = await backUp();
    for (const page of [1, 2, 3]) {
      write('shop', page);
      await takeLog();
    }
    const at = now();
    write('shop', 4);
    await takeLog();
    restores.archive.files.splice(1, 1);
    for (const target of [targetTime(at), latest]) {
      const error = await refused(restore(backup, { ...shopOnly, target }));
      assert.equal(error.kind, 'log-gap');
      assert.match(error.message, /database “shop”: log is missing between/);
    }
    assert.equal(wasBegun(), false);
    await assertNothingLeft();
  });

  it('is refused on another branch of the log, and on half a file of it', async () => {
    const backup = await backUp();
    write('shop', 1);
    const file = await takeLog();
    const wish = { ...shopOnly, target: latest };
    const { record } = file;
    file.record = { ...record, firstForkId: 'other', lastForkId: 'other' };
    assert.equal((await refused(restore(backup, wish))).kind, 'log-gap');
    file.record = record;
    file.isComplete = false;
    const at = targetTime(new Date(now().getTime() - 500));
    const error = await refused(restore(backup, { ...shopOnly, target: at }));
    assert.equal(error.kind, 'invalid');
    assert.equal(wasBegun(), false);
  });

  it('is refused where the log does not reach, naming each database', async () => {
    const backup = await backUp();
    write('shop', 1);
    const at = now();
    write('crm', 1);
    await takeLog('shop');
    const all = { databases: [as('shop', 's'), as('crm', 'c'), as('stock', 't')] };
    const error = await refused(restore(backup, { ...all, target: targetTime(at) }));
    assert.match(error.message, /“crm”: the log does not reach/);
    assert.match(error.message, /“stock”: its recovery model is SIMPLE/);
    assert.doesNotMatch(error.message, /“shop”/);
    const later = targetTime(new Date(now().getTime() + 60_000));
    assert.match((await refused(restore(backup, { ...shopOnly, target: later }))).message, /clock/);
    await restore(backup, { ...shopOnly, target: targetTime(at) });
    assert.equal(names().includes('copy'), true);
  });

  it('is refused for all databases where one has no log', async () => {
    const backup = await backUp();
    write('shop', 1);
    const at = now();
    await takeLog('shop');
    await takeLog('crm');
    const error = await refused(restore(backup, { replace: true, target: targetTime(at) }));
    assert.match(error.message, /“stock”: its recovery model is SIMPLE/);
    assert.match(error.hint ?? '', /choose the databases/);
    assert.equal(wasBegun(), false);
  });

  it('is refused in the hour that the clock showed twice, with a way out', async () => {
    const backup = await backUp();
    write('shop', 1);
    const at = now();
    const file = await takeLog();
    // The clock went back right before that backup of the log.
    const startedLocal = file.record.startedLocal.replace('T21:', 'T20:');
    file.record = { ...file.record, startedLocal, finishedLocal: startedLocal, offsetMinutes: 0 };
    const error = await refused(restore(backup, { ...shopOnly, target: targetTime(at) }));
    assert.equal(error.kind, 'invalid');
    assert.match(error.message, /clock was changed/);
    assert.match(error.hint ?? '', /log sequence number/);
  });

  it('is refused when the name is taken, however it is written', async () => {
    const backup = await backUp();
    for (const newName of ['crm', 'CRM']) {
      const error = await refused(restore(backup, { databases: [as('shop', newName)] }));
      assert.deepEqual([error.kind, error.reason], ['conflict', 'database-name-taken']);
    }
    const error = await refused(restore(backup, {}));
    assert.equal(error.reason, 'database-name-taken');
    assert.equal(wasBegun(), false);
  });

  it('is refused for names that cannot be, and databases that the backup lacks', async () => {
    const backup = await backUp();
    const lacking = await refused(restore(backup, { databases: [as('nothing', 'x')] }));
    assert.deepEqual([lacking.kind, lacking.reason], ['invalid', 'database-unknown']);
    const impossible = [
      [as('shop', 'MSDB')],
      [as('shop', 'tempdb')],
      [as('shop', 'cairn_restore_x_0')],
      [as('shop', 'copy ')],
      [as('shop', 'a'), as('crm', 'A')],
    ];
    for (const databases of impossible) {
      const error = await refused(restore(backup, { databases }));
      assert.deepEqual([error.kind, error.reason], ['invalid', 'database-name-invalid']);
    }
  });

  it('is refused on an older server, without the right, and without the certificate', async () => {
    const backup = await backUp();
    const withServer = (changes: object): SceneBackup => {
      const { notes } = backup.source;
      const server = { ...(notes['server'] as object), ...changes };
      return { ...backup, source: { ...backup.source, notes: { ...notes, server } } };
    };
    const newer = await refused(restore(withServer({ majorVersion: 17 }), shopOnly));
    assert.deepEqual([newer.kind, newer.reason], ['invalid', 'version-mismatch']);
    const databases = (backup.notes.databases ?? []).map((one) => {
      return { ...one, full: { ...one.full, encryptorThumbprint: '0x746465' } };
    });
    const notes = { ...backup.source.notes, databases };
    const source = { ...backup.source, notes };
    const encrypted = await refused(restore({ ...backup, source }, shopOnly));
    assert.match(encrypted.message, /lacks the certificate 0x746465/);
    // The number is its name; without the private key it opens nothing.
    const encryption = { certificate: 'tde', keySavedAt: null };
    const shop = restores.scene.database('shop');
    shop.encryption = { ...encryption, hasPrivateKey: false };
    const keyless = await refused(restore({ ...backup, source }, shopOnly));
    assert.match(keyless.message, /lacks the certificate 0x746465, or its private key/);
    restores.scene.server.world.denied.add('CREATE DATABASE');
    const error = await refused(restore(backup, shopOnly));
    assert.match(error.message, /may not create databases/);
    assert.equal(wasBegun(), false);
  });
});
