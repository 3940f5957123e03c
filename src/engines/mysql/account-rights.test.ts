import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseGrant, planMissingRights } from './account-rights.ts';

describe('the rights of an account', () => {
  it('are those on the whole server', () => {
    const text = 'GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD';
    assert.deepEqual(parseGrant(text), ['RELOAD', 'PROCESS', 'BINLOG MONITOR']);
    assert.deepEqual(parseGrant('GRANT SELECT ON `shop`.* TO `b`@`%`'), []);
    assert.deepEqual(parseGrant('GRANT `reader` TO `b`@`%`'), []);
    assert.deepEqual(parseGrant('GRANT SELECT (`a`, `b`) ON `x`.`t` TO `b`@`%`'), []);
  });

  it('are enough, or what is missing is named as it is granted', () => {
    const all = new Set(parseGrant('GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION'));
    assert.deepEqual(planMissingRights(all, 'mariadb', 'physical'), []);
    const some = new Set(['RELOAD', 'PROCESS', 'REPLICATION CLIENT']);
    assert.deepEqual(planMissingRights(some, 'mariadb', 'physical'), []);
    assert.deepEqual(planMissingRights(some, 'mariadb', 'log'), ['REPLICATION SLAVE']);
    assert.deepEqual(planMissingRights(some, 'mysql', 'physical'), ['BACKUP_ADMIN', 'LOCK TABLES']);
  });
});
