import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Secret } from '../../model/secret.ts';
import type { Flavor } from './flavor.ts';
import { clientCommand, decoderCommand, explainClient } from './replay-tools.ts';
import type { MysqlTools } from './server-binaries.ts';

const tools: MysqlTools = {
  ...{ server: '/bin/mysqld', client: '/bin/mysql', binlog: '/bin/mysqlbinlog', dump: null },
  ...{ backup: null, initialise: null, unpack: null },
};
const input = (flavor: Flavor) => ({
  ...{ tools, flavor, scratchDir: '/home/scratch' },
  connection: {
    ...{ host: '/run/mysql.sock', port: 0, standbys: [], database: '', user: 'service' },
    ...({ password: new Secret('open sesame'), tls: 'disable', tlsCaPem: null } as const),
  },
});

suite('the programs of a replay', () => {
  test('check the log, and know no zone but UTC', () => {
    for (const flavor of ['mariadb', 'mysql'] as const) {
      const { args, env } = decoderCommand(input(flavor));
      assert.deepEqual([args[0], args.at(-1)], ['--no-defaults', '-']);
      assert.ok(args.includes('--verify-binlog-checksum'));
      assert.equal(env['TZ'], 'UTC');
      assert.equal(env['TMPDIR'], '/home/scratch');
      // What is replayed is decided here, not by them.
      assert.ok(!args.some((arg) => /start|stop|skip-gtid=/.test(arg)), args.join(' '));
    }
  });

  test('do not let MySQL leave out what has an id that it knows', () => {
    assert.ok(decoderCommand(input('mysql')).args.includes('--skip-gtids'));
    assert.ok(!decoderCommand(input('mariadb')).args.includes('--skip-gtids'));
  });

  test('get no password in their arguments, and connect once', () => {
    const { args, env, program } = clientCommand(input('mariadb'));
    assert.equal(program, '/bin/mysql');
    assert.ok(!args.join(' ').includes('sesame'));
    assert.equal(env['MYSQL_PWD'], 'open sesame');
    for (const arg of ['--skip-reconnect', '--binary-mode', '--comments', '--local-infile=0']) {
      assert.ok(args.includes(arg), arg);
    }
  });
});

suite('a failure of the client', () => {
  test('is told by its first line, without what the statement holds', () => {
    const block = `\nBINLOG '${'A'.repeat(3000)}'`;
    const misfit = explainClient(`ERROR 1062 (23000) at line 7: Duplicate entry '5'${block}`);
    assert.match(misfit.message, /failed: ERROR 1062 \(23000\) at line 7: Duplicate entry '5'$/);
    assert.match(misfit.hint ?? '', /does not fit the backup/);
    const other = explainClient("ERROR 1064 (42000) at line 9: near 'identified by 'pen''");
    assert.ok(!other.message.includes('pen'));
    assert.match(other.hint ?? '', /leave its transaction out/);
  });
});
