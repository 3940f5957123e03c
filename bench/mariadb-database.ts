// The same rows as for PostgreSQL: accounts, which compress very well, and documents of plausible
// words, which do not.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { MariadbServer } from '../test/fixtures/mariadb-server.ts';
import { generateDocuments, planRows } from './database.ts';

export async function fillMariadb(server: MariadbServer, sizeMb: number): Promise<void> {
  const { accountCount, documentCount } = planRows(sizeMb);
  await server.query('create database shop');
  await server.session(async (query) => {
    await query(
      `create table shop.accounts (id bigint primary key, branch int, balance int,
         filler char(84) character set latin1) engine=InnoDB`,
    );
    for (let first = 1; first <= accountCount; first += 500_000) {
      const last = Math.min(first + 499_999, accountCount);
      await query(
        `insert into shop.accounts select seq, seq div 100000, 0, ''
         from shop.seq_${first}_to_${last}`,
      );
    }
    await query(
      `create table shop.documents (id bigint primary key, tenant int, created varchar(30),
         title text, body text, meta text) engine=InnoDB`,
    );
  });
  const load = "load data local infile '/dev/stdin' into table shop.documents";
  const args = ['--no-defaults', '-uroot', '-S', server.socketPath, '--local-infile=1', '-e', load];
  // A pipe of Node is a socket, which the client cannot open by name.
  const child = spawn('bash', ['-c', 'cat | mariadb "$@"', 'load', ...args], {
    env: { PATH: process.env['PATH'], MYSQL_PWD: server.password },
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit');
  for (const text of generateDocuments(documentCount)) {
    if (!child.stdin.write(text)) await once(child.stdin, 'drain');
  }
  child.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`load data failed: ${String(code)}`);
}
