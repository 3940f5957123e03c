// `mysql://user:password@host:3306/?sslmode=require`, or `mariadb://…`, as `../connection-url.ts`
// reads it. A socket is given as `?socket=/run/mysqld/mysqld.sock`. What is left out: port 3306, no
// database, sslmode `prefer`; `ssl-mode` and its words of MySQL's own clients are understood.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { UrlDialect } from '../connection-url.ts';
import { parseUrl } from '../connection-url.ts';

const dialect: UrlDialect = {
  scheme: '(?:mysql|mariadb)',
  kind: 'a mysql:// or mariadb:// URL',
  shape: 'the form is mysql://user:password@host:3306/?sslmode=require',
  defaultPort: 3306,
  defaultDatabase: '',
  aliases: {
    socket: 'host',
    unix_socket: 'host',
    'ssl-mode': 'sslmode',
    'ssl-ca': 'sslrootcert',
    ssl_ca: 'sslrootcert',
  },
  tlsWords: {
    DISABLED: 'disable',
    PREFERRED: 'prefer',
    REQUIRED: 'require',
    VERIFY_CA: 'verify-ca',
    VERIFY_IDENTITY: 'verify-full',
  },
  ignored: ['charset', 'connectTimeout', 'connect_timeout', 'program_name'],
};

/** @throws invalid */
export function parseConnectionUrl(text: string): Connection {
  const connection = parseUrl(text, dialect);
  if (connection.standbys.length === 0) return connection;
  throw new CairnError('invalid', 'the connection string names several hosts', {
    hint: 'name the primary: replicas of MySQL and MariaDB are instances of their own',
  });
}
