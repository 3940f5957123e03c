import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planToolArguments } from './base-backup.ts';

const folder = { path: '/var/lib/mysql', socketPath: '/run/mysqld/mysqld.sock' };

test('the program of MariaDB is told where the server is, and to look at the log often', () => {
  assert.deepEqual(planToolArguments({ flavor: 'mariadb', user: 'cairn', folder }), [
    ...['--no-defaults', '--backup', '--stream=xbstream'],
    ...['--log-copy-interval=100', '--loose-startup-wait-timeout=600'],
    ...['--user=cairn', '--socket=/run/mysqld/mysqld.sock', '--datadir=/var/lib/mysql'],
  ]);
});

test('XtraBackup, which never ran here, is told the same by its own options', () => {
  assert.deepEqual(planToolArguments({ flavor: 'mysql', user: 'cairn', folder }), [
    ...['--no-defaults', '--backup', '--stream=xbstream', '--backup-lock-timeout=600'],
    ...['--user=cairn', '--socket=/run/mysqld/mysqld.sock', '--datadir=/var/lib/mysql'],
  ]);
});
