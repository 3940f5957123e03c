// Restores of SQL Server that fail half-way, and restores over a database: what is left.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  as,
  latest,
  refused,
  shopOnly,
  useRestores,
  usual,
} from '../fixtures/sqlserver-restores.ts';
import { sqlError } from '../fixtures/tds/sql-messages.ts';

const restores = useRestores();
const { write, digestOf, backUp, takeLog, restore, names, assertNothingLeft } = restores;

describe('a restore that fails', () => {
  it('leaves nothing of stored log that is damaged, or of another backup', async () => {
    const backup = await backUp();
    write('shop', 1);
    const first = await takeLog();
    write('shop', 2);
    const second = await takeLog();
    const wish = { ...shopOnly, target: latest };
    const good = Buffer.from(second.bytes);
    second.bytes = Buffer.from(good).fill(0xff, good.length - 100);
    const damaged = await refused(restore(backup, wish));
    assert.equal(damaged.kind, 'repository-damaged');
    await assertNothingLeft();
    second.bytes = Buffer.from(first.bytes);
    const swapped = await refused(restore(backup, wish));
    assert.equal(swapped.kind, 'repository-damaged');
    assert.match(swapped.message, /another one by its header/);
    await assertNothingLeft();
    second.bytes = good;
    await restore(backup, wish);
    assert.equal(digestOf('copy'), digestOf('shop'));
  });

  it('keeps no database that CHECKDB finds damaged', async () => {
    const backup = await backUp();
    restores.scene.at('RESTORE DATABASE', 100, ({ database }) => {
      restores.scene.database(database).damagedPages.add(7);
    });
    const error = await refused(restore(backup, shopOnly));
    assert.equal(error.kind, 'engine-refused');
    assert.match(error.message, /CHECKDB finds the restored database shop damaged.*Page \(1:7\)/);
    await assertNothingLeft();
  });

  it('does not call damaged what CHECKDB could not look through', async () => {
    const backup = await backUp();
    restores.scene.server.world.onStatement = (text) => {
      if (text.startsWith('DBCC CHECKDB')) throw sqlError(7928);
    };
    const error = await refused(restore(backup, shopOnly));
    assert.match(error.message, /could not look through the restored database shop.*7928/);
    assert.doesNotMatch(error.message, /damaged/);
    await assertNothingLeft();
  });

  it('succeeds for a login that may neither check a database nor get into it', async () => {
    const backup = await backUp();
    restores.scene.at('RESTORE DATABASE', 100, ({ database }) => {
      restores.scene.database(database).letsIn = false;
    });
    restores.scene.server.world.onStatement = (text) => {
      if (text.startsWith('DBCC CHECKDB')) throw sqlError(2571, 'restore', 'CHECKDB');
    };
    const [restored] = await restore(backup, shopOnly);
    assert.equal(digestOf('copy'), digestOf('shop'));
    const notes = restored?.notes?.join('\n') ?? '';
    assert.match(notes, /CHECKDB was not run, the login may not/);
    assert.doesNotMatch(notes, /no errors/);
    assert.equal(restores.scene.database('copy').isSingleUser, false);
  });

  it('shows none of two databases when the second fails', async () => {
    const backup = await backUp();
    const both = { databases: [as('shop', 'shop2'), as('crm', 'crm2')] };
    restores.scene.server.world.onProgress = ({ statement, database }) => {
      if (statement !== 'RESTORE DATABASE' || !database.endsWith('_1')) return;
      assert.ok(names().includes('cairn_restore_test_0'));
      assert.ok(!names().includes('shop2'));
      throw sqlError(3183, 5, database);
    };
    assert.equal((await refused(restore(backup, both))).kind, 'repository-damaged');
    await assertNothingLeft();
  });

  it('drops what is there when a name is taken at the last moment', async () => {
    const backup = await backUp();
    const both = { databases: [as('shop', 'shop2'), as('crm', 'crm2')] };
    restores.scene.server.world.onStatement = (text) => {
      if (!text.includes('MODIFY NAME = [crm2]')) return;
      throw sqlError(1801, 'crm2');
    };
    const error = await refused(restore(backup, both));
    assert.deepEqual([error.kind, error.reason], ['conflict', 'database-name-taken']);
    await assertNothingLeft();
  });

  it('leaves nothing when it is cancelled, at whatever step', async () => {
    const backup = await backUp();
    write('shop', 1);
    await takeLog();
    const steps = ['RESTORE VERIFYONLY', 'RESTORE DATABASE', 'RESTORE LOG'];
    for (const statement of steps) {
      const controller = new AbortController();
      restores.scene.at(statement, 50, () => controller.abort());
      const { signal } = controller;
      const error = await refused(restore(backup, { ...shopOnly, target: latest, signal }));
      assert.equal(error.kind, 'cancelled', statement);
      await assertNothingLeft();
    }
  });

  it('leaves nothing when the connection is lost, if the server can be reached again', async () => {
    const backup = await backUp();
    restores.scene.at('RESTORE DATABASE', 50, () => restores.scene.server.dropAll());
    assert.equal((await refused(restore(backup, shopOnly))).kind, 'engine-unreachable');
    await assertNothingLeft();
  });

  it('says what is left when it cannot be removed, and removes it the next time', async () => {
    const expected = digestOf('shop');
    const backup = await backUp();
    let isDown = false;
    restores.scene.server.world.onStatement = (_text, reply) => {
      if (isDown) reply.drop();
    };
    restores.scene.at('RESTORE DATABASE', 50, () => {
      isDown = true;
      restores.scene.server.dropAll();
    });
    const error = await refused(restore(backup, shopOnly));
    assert.match(error.hint ?? '', /cairn_restore_test_0 may be left/);
    assert.deepEqual(names(), ['cairn_restore_test_0', ...usual]);
    writeFileSync(join(restores.scene.folder, 'cairn-restore-test-0-log-3.1of1.bak'), 'left');
    isDown = false;
    await restore(backup, shopOnly);
    assert.equal(digestOf('copy'), expected);
    await assertNothingLeft([...usual, 'copy']);
  });
});

describe('a restore over a database', () => {
  const over = { databases: [as('shop', 'shop'), as('stock', 'stock')], replace: true };

  it('keeps the old one under another name, and the end of its log', async () => {
    const expected = { shop: write('shop', 1), stock: write('stock', 2) };
    const backup = await backUp();
    const old = { shop: write('shop', 1, 3), stock: write('stock', 5) };
    const restored = await restore(backup, over);
    assert.deepEqual({ shop: digestOf('shop'), stock: digestOf('stock') }, expected);
    const [shop, stock] = [digestOf('shop_replaced_test'), digestOf('stock_replaced_test')];
    assert.deepEqual({ shop, stock }, old);
    for (const { isSingleUser } of restores.scene.server.world.databases.values()) {
      assert.equal(isSingleUser, false);
    }
    const [tail = '', ...others] = await restores.scene.listFolder();
    assert.match(tail, /^cairn-tail-test-[0-9a-f]{16}\.1of1\.bak$/);
    assert.deepEqual(others, []);
    assert.ok(readFileSync(join(restores.scene.folder, tail)).length > 8192);
    const notes = restored.map((one) => one.notes?.join('\n') ?? '');
    assert.match(notes[0] ?? '', /shop is called shop_replaced_test now/);
    assert.ok(notes[0]?.includes(tail));
    assert.match(notes[1] ?? '', /end of its log was not saved/);
    // Whoever follows the log of the old one misses nothing.
    const last = restores.scene.server.world.history.at(-1);
    assert.deepEqual([last?.type, last?.is_copy_only], ['L', true]);
  });

  it('leaves the old one alone until the new one is whole', async () => {
    const backup = await backUp();
    const old = write('shop', 3);
    restores.scene.at('RESTORE DATABASE', 100, ({ database }) => {
      restores.scene.database(database).damagedPages.add(7);
    });
    await refused(restore(backup, over));
    assert.equal(digestOf('shop'), old);
    await assertNothingLeft();
    restores.scene.server.world.onProgress = ({ statement }) => {
      if (statement === 'BACKUP LOG') throw sqlError(3202, 'x', '112(There is not enough space)');
    };
    assert.equal((await refused(restore(backup, over))).kind, 'storage-full');
    assert.equal(digestOf('shop'), old);
    assert.equal(restores.scene.database('shop').isSingleUser, false);
    assert.deepEqual(names(), usual);
  });

  for (const death of ['before', 'after'] as const) {
    it(`ends with one of the two when it dies ${death} any step of the switch`, async () => {
      const expected = { shop: write('shop', 1), stock: write('stock', 2) };
      const backup = await backUp();
      const old = { shop: write('shop', 1, 3), stock: write('stock', 5) };
      const { world } = restores.scene.server;
      let steps = 0;
      for (let isDone = false; !isDone; steps++) {
        const tag = `t${String(steps).padStart(7, '0')}`;
        dieAt(steps, death);
        isDone = await restore(backup, { ...over, tag }).then(
          () => true,
          () => false,
        );
        assert.ok(steps < 60);
        // Nothing has been lost, whatever it is called now.
        const found = [...world.databases.values()].map((one) => one.digest());
        assert.ok(found.includes(old.shop) && found.includes(old.stock), `step ${steps}`);
        const hadBegun = names().some((name) => name.endsWith(`_replaced_${tag}`));
        const sent = watch();
        if (!isDone) await restore(backup, { ...over, tag });
        const isRepeated = sent.some((text) => /^RESTORE DATABASE/.test(text));
        assert.equal(isRepeated, !isDone && !hadBegun, `step ${steps}`);
        assert.deepEqual(digests(''), expected, `step ${steps}`);
        assert.deepEqual(digests(`_replaced_${tag}`), old, `step ${steps}`);
        for (const { name, isSingleUser } of world.databases.values()) {
          assert.ok(!isSingleUser && !name.startsWith('cairn'), `step ${steps}: ${name}`);
        }
        const files = await restores.scene.listFolder();
        assert.ok(
          files.every((name) => name.startsWith('cairn-tail-')),
          `step ${steps}`,
        );
        putBack(tag);
      }
      assert.ok(steps > 10, `${steps} steps`);
    });
  }

  /** From that step of the switch on the server does not answer any more. */
  function dieAt(step: number, death: 'before' | 'after'): void {
    let isSwitching = false;
    let countdown = step;
    restores.scene.server.world.onStatement = (text, reply) => {
      isSwitching ||= text.includes('SINGLE_USER');
      if (!isSwitching || countdown-- > 0) return;
      reply.drop();
      if (death === 'before' || countdown < -1) throw sqlError(5030);
    };
  }

  function watch(): readonly string[] {
    const sent: string[] = [];
    restores.scene.server.world.onStatement = (text) => {
      sent.push(text);
      if (!text.startsWith('RESTORE DATABASE')) return;
      // While the restore begins anew, the old ones are there for everybody.
      const { isSingleUser } = restores.scene.database('shop');
      if (isSingleUser) throw new Error('the old database is closed');
    };
    return sent;
  }

  function digests(suffix: string): { readonly shop: string; readonly stock: string } {
    return { shop: digestOf(`shop${suffix}`), stock: digestOf(`stock${suffix}`) };
  }

  /** As it was before, for the next round. */
  function putBack(tag: string): void {
    const { databases } = restores.scene.server.world;
    for (const name of ['shop', 'stock']) {
      const before = restores.scene.database(`${name}_replaced_${tag}`);
      databases.delete(before.name.toLowerCase());
      before.name = name;
      databases.set(name, before);
    }
  }
});
