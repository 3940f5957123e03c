// The log archive of SQL Server, against the small server of the tests: what is archived, what is
// told, and what ends it. `sqlserver-log-crash.test.ts` kills it.
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { databaseFolder } from '../../src/engines/sqlserver/database-folder.ts';
import { LogScene } from '../fixtures/sqlserver-log-scene.ts';
import { sqlError } from '../fixtures/tds/sql-messages.ts';

let own: LogScene;

beforeEach(async () => {
  own = await LogScene.create();
});

afterEach(async () => {
  await own[Symbol.asyncDispose]();
});

describe('rounds of log backups', () => {
  it('archive what has a chain, and tell of what has none', async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    const following = own.follow();
    own.write('shop', 1, 2, 3);
    await following.until('the log of shop is stored', () => own.recordsOf('shop').length === 3);
    await following.until('a round has ended', () => following.lags.length > 3);
    assert.match(following.lags.at(-1)?.warning?.message ?? '', /^the log of crm is not archived/);
    await own.backUp('full', 'crm', 'crm.bak');
    own.write('crm', 4);
    await following.until('the log of crm is stored', () => own.recordsOf('crm').length === 1);
    own.write('shop', 5);
    await following.until('all is stored', () => own.isStored);
    await following.until('all is well', () => following.lags.at(-1)?.warning === null);
    const last = Math.max(...[...own.written.values()].flat().map(({ atMs }) => atMs));
    own.passTime(3000);
    await following.until('all is covered', () => (own.log.covered?.at.getTime() ?? 0) > last);
    own.assertCovered();
    await following.until('all is removed', async () => (await own.leftovers()).length === 0);
    await following.stop();
    own.assertWhole('shop', 'crm');
    assert.deepEqual(own.archivedOf('stock'), []);
  });

  it('begin a stream also where nothing has a chain yet: it asks for the full backup', async () => {
    const following = own.follow();
    await following.until('the stream has begun', () => own.log.facts !== null);
    await following.until('it is told', () => following.lags.at(-1)?.warning != null);
    const { message = '' } = following.lags.at(-1)?.warning ?? {};
    assert.match(message, /full backup yet; one other database/);
    await own.backUp('full', 'shop', 'shop.bak');
    own.write('shop', 1);
    await following.until('the log is stored', () => own.recordsOf('shop').length === 1);
    await following.stop();
    own.assertWhole('shop');
  });

  it('go on with the other databases when the server refuses one, and tell', async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    await own.backUp('full', 'crm', 'crm.bak');
    own.write('shop', 1);
    own.write('crm', 1);
    let isFull = true;
    own.scene.server.world.onProgress = ({ database }) => {
      if (database !== 'shop' || !isFull) return;
      throw sqlError(3202, 'x', '112(There is not enough space on the disk.)');
    };
    const following = own.follow();
    await following.failure('storage-full');
    const folder = databaseFolder('shop');
    assert.ok((await own.leftovers()).every((name) => !name.includes(folder)));
    assert.equal(own.recordsOf('crm').length, 1);
    assert.equal(own.log.covered?.at ?? null, null);
    isFull = false;
    const again = own.follow();
    await again.until('all is stored', () => own.isStored);
    await again.until('all is removed', async () => (await own.leftovers()).length === 0);
    await again.stop();
    own.assertWhole('shop', 'crm');
  });

  it('leave to another replica what its group wants backed up there', async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    await own.backUp('full', 'crm', 'crm.bak');
    Object.assign(own.scene.database('crm'), { replicaRole: 'primary', isPreferredReplica: false });
    own.write('shop', 1);
    own.write('crm', 1);
    const following = own.follow();
    await following.until('shop is archived', () => own.recordsOf('shop').length === 1);
    await following.until('a round has ended', () => following.lags.length > 1);
    assert.equal(following.lags.at(-1)?.warning, null);
    assert.deepEqual(own.archivedOf('crm'), []);
    own.scene.database('crm').isPreferredReplica = true;
    await following.until('crm is archived', () => own.isStored);
    own.scene.database('crm').isPreferredReplica = false;
    await following.until('it is told', () =>
      following.lags.at(-1)?.warning?.message.includes('crm is backed up on another replica'),
    );
    await following.stop();
  });

  it('tell when a database that was archived is not any more', async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    const following = own.follow();
    await following.until('it is archived', () => own.archivedOf('shop').length > 0);
    await following.stop();
    own.scene.database('shop').state = 'RESTORING';
    const again = own.follow();
    await again.until('it is told', () =>
      again.lags.at(-1)?.warning?.message.includes('shop is not archived: it is RESTORING'),
    );
    await again.stop();
  });
});

describe('a chain that is broken', () => {
  beforeEach(async () => {
    await own.backUp('full', 'shop', 'shop.bak');
    await own.backUp('full', 'crm', 'crm.bak');
    const following = own.follow();
    own.write('shop', 1);
    await following.until('it is archived', () => own.isStored);
    await following.stop();
  });

  it('by the log backup of another tool: named, and nothing more is taken', async () => {
    own.write('shop', 2);
    await own.backUp('log', 'shop', 'theirs.trn');
    const { message, hint } = await own.follow().failure('log-gap');
    assert.match(
      message,
      /^the log of shop cannot go on: backup has backed its log up to .*theirs/,
    );
    assert.match(hint ?? '', /full backup; .*COPY_ONLY/);
    const logs = own.scene.server.world.history.filter(
      ({ type, database_name }) => type === 'L' && database_name === 'shop',
    );
    assert.match(logs.at(-1)?.devices[0] ?? '', /theirs/);
  });

  it('not by a copy of the log', async () => {
    own.write('shop', 2);
    await own.backUp('log', 'shop', 'copy.trn', { isCopyOnly: true });
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop');
  });

  it('not by what other programs have written to the history', async () => {
    const { history } = own.scene.server.world;
    const last = history.at(-1);
    assert.ok(last);
    const odd = { backup_set_id: history.length + 1, type: 'D', last_lsn: null, devices: ['{x}7'] };
    history.push({ ...last, database_name: 'shop', ...(odd as object) });
    own.write('shop', 2);
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop');
  });

  it('not by a server that counts a little more than lies there', async () => {
    const { world } = own.scene.server;
    world.onBackupEnd = async ({ devices: [device = ''] }) => {
      const { size } = await stat(join(own.scene.folder, basename(device)));
      const set = world.history.pop();
      if (set) world.history.push({ ...set, backup_size: size + 512 });
    };
    own.write('shop', 2);
    const following = own.follow();
    await following.until('it is archived', () => own.isStored);
    await following.stop();
    own.assertWhole('shop');
  });

  it('by a recovery model that was SIMPLE for a while', async () => {
    const shop = own.scene.database('shop');
    shop.logBackupLsn = null;
    own.scene.write('shop', 2);
    await own.backUp('full', 'shop', 'again.bak');
    const { message } = await own.follow().failure('log-gap');
    assert.match(message, /^the log of shop cannot go on: .* is in no backup.*SIMPLE/);
  });

  it('by a restore to an earlier state', async () => {
    own.scene.database('shop').forkId = crypto.randomUUID();
    assert.match((await own.follow().failure('log-gap')).message, /restored to an earlier state/);
  });

  it('by another database of that name', async () => {
    own.scene.database('shop').familyId = crypto.randomUUID();
    assert.match((await own.follow().failure('log-gap')).message, /another database has taken/);
  });

  it('by a server whose history was set back', async () => {
    own.scene.server.world.history.splice(2);
    const { message } = await own.follow().failure('log-gap');
    assert.match(message, /history does not have the backup of the log/);
  });

  it('by another server', async () => {
    assert.ok(own.log.facts);
    own.log.facts = { ...own.log.facts, systemIdentifier: 'OTHER' };
    assert.match((await own.follow().failure('log-gap')).message, /leads to server/);
  });
});
