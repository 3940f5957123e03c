import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConnectionUrl } from './connection-url.ts';

describe('a connection string of MySQL or MariaDB', () => {
  it('has defaults for all but the user', () => {
    const { host, port, database, user, password, tls } = parseConnectionUrl('mysql://backup@db');
    assert.deepEqual(
      { host, port, database, user, password, tls },
      { host: 'db', port: 3306, database: '', user: 'backup', password: null, tls: 'prefer' },
    );
  });

  it('may be written for either, with words of either client', () => {
    const url = 'mariadb://b:p%40ss@[::1]:3307/shop?ssl-mode=VERIFY_IDENTITY';
    const connection = parseConnectionUrl(url);
    assert.deepEqual([connection.host, connection.port], ['::1', 3307]);
    assert.equal(connection.password?.reveal(), 'p@ss');
    assert.deepEqual([connection.database, connection.tls], ['shop', 'verify-full']);
  });

  it('may name a socket', () => {
    const { host } = parseConnectionUrl('mysql://root@/?socket=/run/mysqld/mysqld.sock');
    assert.equal(host, '/run/mysqld/mysqld.sock');
  });

  it('is refused without showing the password', () => {
    for (const url of ['postgres://a:secret@b', 'mysql://:secret@b', 'mysql://u:secret@a,b/']) {
      assert.throws(
        () => parseConnectionUrl(url),
        (error: Error) => !error.message.includes('secret') && 'kind' in error,
        url,
      );
    }
  });

  it('names what it understands, when it does not', () => {
    assert.throws(
      () => parseConnectionUrl('mysql://root@db/?compress=1'),
      ({ hint }: { hint?: string }) => /sslmode.*\bsocket\b.*ssl-mode.*ssl-ca/.test(hint ?? ''),
    );
  });
});
