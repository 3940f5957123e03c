import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CairnError } from '../../model/errors.ts';
import { parseConnectionUrl } from './connection-url.ts';

function parts(url: string): Record<string, unknown> {
  const { password, ...rest } = parseConnectionUrl(url);
  return { ...rest, password: password?.reveal() ?? null };
}

const defaults = {
  host: 'localhost',
  port: 5432,
  standbys: [],
  database: 'postgres',
  user: 'u',
  password: null,
  tls: 'prefer',
  tlsCaPem: null,
};

const ipv6: [string, number][] = [
  ['a', 1],
  ['2001:db8::1', 2],
  ['c', 5432],
];

function several(...hosts: [string, number][]): Record<string, unknown> {
  const [first, ...standbys] = hosts.map(([host, port]) => ({ host, port }));
  return { ...first, standbys, database: 'x' };
}

const cases: [string, Record<string, unknown>][] = [
  ['postgres://u@', {}],
  [
    'postgresql://u:p@db.example:6543/app',
    { host: 'db.example', port: 6543, database: 'app', password: 'p' },
  ],
  ['postgres://u:a%40b%2Fc%25@h/d%20e', { host: 'h', password: 'a@b/c%', database: 'd e' }],
  ['postgres://u:p:q@h', { host: 'h', password: 'p:q' }],
  ['postgres://u@[2001:db8::1]:7000/x', { host: '2001:db8::1', port: 7000, database: 'x' }],
  ['postgres://u@%2Fvar%2Frun%2Fpostgresql/x', { host: '/var/run/postgresql', database: 'x' }],
  ['postgres://u@/x?host=/tmp&port=7001', { host: '/tmp', port: 7001, database: 'x' }],
  ['postgres:///x?user=u&password=s%26t', { database: 'x', password: 's&t' }],
  ['postgres://u@h?sslmode=verify-full&connect_timeout=5', { host: 'h', tls: 'verify-full' }],
  ['postgres://u@a,b:5433/x', several(['a', 5432], ['b', 5433])],
  ['postgres://u:p@a:1,[2001:db8::1]:2,c/x', { ...several(...ipv6), password: 'p' }],
  ['postgres://u@/x?host=a,b&port=7001', several(['a', 7001], ['b', 7001])],
  ['postgres://u@/x?host=/tmp,b&port=7001,7002', several(['/tmp', 7001], ['b', 7002])],
  ['postgres://u@%2Ftmp:7001,b/x', several(['/tmp', 7001], ['b', 5432])],
  ['  postgres://u@h/x?sslmode=disable\n', { host: 'h', database: 'x', tls: 'disable' }],
];

for (const [url, expected] of cases) {
  test(`parses ${url.trim()}`, () => assert.deepEqual(parts(url), { ...defaults, ...expected }));
}

const refused: [string, RegExp][] = [
  ['mysql://u:topsecret@h/d', /not a postgres/],
  ['u:topsecret@h', /not a postgres/],
  ['postgres://u:top/secret@h/d', /not a postgres|names no user|port/],
  ['postgres://u:topsecret%ZZ@h', /badly percent-encoded/],
  ['postgres://u:topsecret@h:0', /port "0"/],
  ['postgres://u:topsecret@h:99999', /port "99999"/],
  ['postgres://u:topsecret@h:x', /port "x"/],
  ['postgres://h/d', /names no user/],
  ['postgres://u:topsecret@a,b,c/d?port=1,2', /3 hosts and 2 ports/],
  ['postgres://u:topsecret@a:1,b:0/d', /port "0"/],
  ['postgres://u:topsecret@a,b]/d', /host .* malformed/],
  ['postgres://u:topsecret@a,b,c,d,e,f,g,h,i,j/d', /names 10 hosts/],
  ['postgres://u:topsecret@h?sslmode=allow', /sslmode allow/],
  ['postgres://u:topsecret@h?sslcert=x', /sslcert is not supported/],
  ['postgres://u:topsecret@h?sslrootcert=/does/not/exist', /cannot be read/],
];

for (const [url, pattern] of refused) {
  test(`refuses ${url}`, () => {
    assert.throws(
      () => parseConnectionUrl(url),
      (error) => {
        assert.ok(error instanceof CairnError && error.kind === 'invalid');
        assert.match(error.message, pattern);
        assert.ok(
          !inspect(error, { depth: 9 })
            .replace(/\n\s+at .*/g, '')
            .includes('topsecret'),
        );
        return true;
      },
    );
  });
}

test('an authority is read from its file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-url-'));
  try {
    const path = join(folder, 'ca.pem');
    await writeFile(path, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const connection = parseConnectionUrl(`postgres://u@h?sslrootcert=${encodeURIComponent(path)}`);
    assert.match(connection.tlsCaPem ?? '', /BEGIN CERTIFICATE/);
    await writeFile(path, 'nonsense');
    assert.throws(() => parseConnectionUrl(`postgres://u@h?sslrootcert=${path}`), /not a PEM/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
