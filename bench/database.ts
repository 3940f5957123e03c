// The database that the benchmarks back up: tables of pgbench (which compress very well) and
// documents of plausible words and JSON (which do not), and changes of 1 % of its rows.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mulberry32 } from '../test/fixtures/mulberry32.ts';
import type { TestServer } from '../test/fixtures/postgres-server.ts';

/** Of the whole; the rest is pgbench's. */
const documentsShare = 0.25;
const documentBytes = 1050;
const accountBytes = 149.5;
const accountsPerScale = 100_000;
const syllables =
  'ba be bi do da di fa ge ga ha in ka ke ko la le li lo ma me mo na ne on pa po ra re ri sa se si';

export type BenchDatabase = {
  /** 1 % of the rows of either table, anywhere in it. */
  updateSpread(round: number): Promise<void>;
  /** 1 % of the rows, side by side. */
  updateHot(round: number): Promise<void>;
  /** Of the whole cluster. */
  sizeBytes(): Promise<number>;
};

/** How many rows of either kind make a database of that size. */
export function planRows(sizeMb: number) {
  const documentCount = Math.round((sizeMb * 1e6 * documentsShare) / documentBytes);
  const accountsBytes = sizeMb * 1e6 * (1 - documentsShare);
  const scale = Math.max(1, Math.round(accountsBytes / (accountBytes * accountsPerScale)));
  return { documentCount, scale, accountCount: scale * accountsPerScale };
}

export async function fillDatabase(server: TestServer, sizeMb: number): Promise<BenchDatabase> {
  const { documentCount, scale, accountCount } = planRows(sizeMb);
  await run(server, 'pgbench', ['-i', '-q', '-I', 'dtGvp', '-s', String(scale)], null);
  await server.query(
    `create table documents (id bigint primary key, tenant int, created timestamp, title text,
       body text, meta jsonb)`,
  );
  const copy = ['-q', '-c', 'copy documents from stdin'];
  await run(server, 'psql', copy, generateDocuments(documentCount));
  await server.query('vacuum (freeze, analyze)');
  await server.query('checkpoint');
  const change = async (round: number, documents: string, accounts: string): Promise<void> => {
    await server.query(
      `update documents set meta = jsonb_set(meta, '{views}', '${round}') where ${documents}`,
    );
    await server.query(`update pgbench_accounts set abalance = ${round} where ${accounts}`);
    await server.query('checkpoint');
  };
  const middle = (count: number): string =>
    `between ${Math.floor(count / 2)} and ${Math.floor(count * 0.51)}`;
  return {
    updateSpread: (round) => change(round, `id % 100 = ${round}`, `hashint4(aid) % 100 = ${round}`),
    updateHot: (round) =>
      change(round, `id ${middle(documentCount)}`, `aid ${middle(accountCount)}`),
    sizeBytes: async () => {
      const sql = 'select sum(pg_database_size(oid))::float8 as n from pg_database';
      const [row] = await server.query(sql);
      return Number(row?.['n']);
    },
  };
}

async function run(
  server: TestServer,
  program: string,
  args: readonly string[],
  input: Iterable<string> | null,
): Promise<void> {
  const child = spawn(`${server.binDir}/${program}`, args, {
    stdio: [input ? 'pipe' : 'ignore', 'ignore', 'pipe'],
    env: {
      PGHOST: '127.0.0.1',
      PGPORT: String(server.port),
      PGUSER: 'postgres',
      PGDATABASE: 'postgres',
      PGPASSWORD: server.password,
    },
  });
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close');
  for (const text of input ?? []) if (!child.stdin?.write(text)) await once(child.stdin!, 'drain');
  child.stdin?.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`${program} failed: ${errors}`);
}

/** Words by Zipf's law from a vocabulary of 30,000. The same for every run. */
export function* generateDocuments(count: number): Generator<string> {
  const random = mulberry32(20240501);
  const pick = (of: readonly string[]): string => of[Math.floor(random() * of.length)] ?? '';
  const parts = syllables.split(' ');
  const vocabulary = Array.from({ length: 30_000 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 3) }, () => pick(parts)).join(''),
  );
  const word = (): string => vocabulary[Math.floor(vocabulary.length ** random()) - 1] ?? 'of';
  const words = (length: number): string => Array.from({ length }, word).join(' ');
  const hex = (length: number): string =>
    Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
  let created = 1_600_000_000_000;
  for (let id = 1; id <= count; id++) {
    created += 1000 * Math.floor(1 + random() * 90);
    const meta = JSON.stringify({
      uuid: hex(32),
      email: `${word()}.${word()}@${word()}.example`,
      status: pick(['new', 'paid', 'shipped', 'returned', 'cancelled']),
      amount: Math.round(random() * 1e5) / 100,
      views: Math.floor(random() * 5000),
      token: hex(40),
    });
    const tenant = 1 + Math.floor(random() * 500);
    const time = new Date(created).toISOString();
    const body = words(60 + Math.floor(random() * 45));
    yield `${id}\t${tenant}\t${time}\t${words(5)}\t${body}\t${meta}\n`;
  }
}
