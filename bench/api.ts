// Measures what a client waits for: pages of a list with very many backups in the catalog, and
// creates at a fixed rate while a real backup runs. On SQLite and on PostgreSQL, against `./cairn
// serve` over HTTP. Each table holds the floor of the same run: a call that touches no catalog row.
//
//   npm run bench:api -- --backups 1000000 --rate 100 --seconds 30
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startLargeServer } from '../test/fixtures/large-server.ts';
import type { TestServer } from '../test/fixtures/postgres-server.ts';
import { startPostgres } from '../test/fixtures/postgres-server.ts';
import type { TestService } from '../test/fixtures/service.ts';
import { startService } from '../test/fixtures/service.ts';
import type { CatalogTarget } from './fill-catalog.ts';
import { fillCatalog, filledInstanceId } from './fill-catalog.ts';

const { values: options } = parseArgs({
  options: {
    backups: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '30' },
    requests: { type: 'string', default: '2000' },
    catalogs: { type: 'string', default: 'sqlite,postgresql' },
  },
});
const number = (name: 'backups' | 'rate' | 'seconds' | 'requests', max: number): number => {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`--${name} takes 1 to ${max}`);
};
const backupCount = number('backups', 100_000_000);
const ratePerSecond = number('rate', 10_000);
const seconds = number('seconds', 3600);
const requestCount = number('requests', 1_000_000);
const listedInstanceCount = 200;
const warmUpCount = ratePerSecond * 2;
const createCount = warmUpCount + ratePerSecond * seconds;

type Row = {
  readonly catalog: string;
  readonly what: string;
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
};
const rows: Row[] = [];

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

type Caller = {
  readonly service: TestService;
  readonly token: string;
};

/** Answers the milliseconds until the last byte of the answer. @throws when it is no success */
async function timeCall(
  { service, token }: Caller,
  method: string,
  path: string,
  body?: unknown,
): Promise<number> {
  const beganMs = performance.now();
  const text = body === undefined ? '' : JSON.stringify(body);
  await new Promise<void>((done, fail) => {
    const call = httpRequest(
      new URL(path, service.endpoint),
      {
        agent,
        method,
        timeout: 30_000,
        headers: {
          'X-Auth-Token': token,
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(text),
        },
      },
      (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          answer += piece;
        });
        response.on('end', () =>
          response.statusCode === 200 ? done() : fail(new Error(`${method} ${path}: ${answer}`)),
        );
      },
    );
    call.on('error', fail).on('timeout', () => call.destroy(new Error('timeout')));
    call.end(text);
  });
  return performance.now() - beganMs;
}

function record(catalog: string, what: string, samples: number[]): void {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return Math.round(value * 100) / 100;
  };
  const row = { catalog, what, count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) };
  rows.push({ ...row, maxMs: at(1) });
  process.stderr.write(`${catalog}, ${what}: p50 ${row.p50Ms} ms, p99 ${row.p99Ms} ms\n`);
}

async function measureLists(catalog: string, caller: Caller): Promise<void> {
  const list = `/v3/${caller.service.projectId}/backups`;
  const all = `/cairn/v1/${caller.service.projectId}/backups`;
  const instance = (n: number): string => filledInstanceId((n * 7919) % listedInstanceCount);
  const calls: Readonly<Record<string, (n: number) => string>> = {
    'floor: GET /v3': () => '/v3',
    'first page of an instance': (n) => `${list}?instance_id=${instance(n)}`,
    'a type of an instance': (n) => `${list}?instance_id=${instance(n)}&backup_type=manual`,
    'a page in the middle of an instance': (n) =>
      `${list}?instance_id=${instance(n)}&offset=${(n * 37) % 4000}`,
    'first page of the project': () => all,
    'one backup': (n) =>
      `${list}?backup_id=be0c${String((n * 7919) % backupCount).padStart(28, '0')}br03`,
  };
  for (const [what, pathOf] of Object.entries(calls)) {
    for (let n = 0; n < 50; n++) await timeCall(caller, 'GET', pathOf(n));
    const samples: number[] = [];
    for (let n = 0; n < requestCount; n++) {
      samples.push(await timeCall(caller, 'GET', pathOf(n)));
    }
    record(catalog, what, samples);
  }
}

/**
 * Open loop: a call begins when its time has come, whether or not the one before has ended. The
 * first ones warm the service up, as the lists before did for reading, and do not count.
 */
async function measureCreates(catalog: string, caller: Caller): Promise<void> {
  const path = `/v3/${caller.service.projectId}/backups`;
  const calls: Promise<number>[] = [];
  const beganMs = performance.now();
  for (let n = 0; n < createCount; n++) {
    const waitMs = beganMs + (n * 1000) / ratePerSecond - performance.now();
    if (waitMs > 1) await delay(waitMs);
    const body = { instance_id: filledInstanceId(listedInstanceCount + n), name: `create-${n}` };
    calls.push(timeCall(caller, 'POST', path, body));
  }
  const samples = (await Promise.all(calls)).slice(warmUpCount);
  record(catalog, `create at ${ratePerSecond}/s while a backup runs`, samples);
}

/** Backs the server up again and again until told to stop; answers how many ended well. */
async function keepBackingUp(
  service: TestService,
  server: TestServer,
  signal: AbortSignal,
): Promise<number> {
  const added = await service.request<{ instance: { id: string } }>(
    'POST',
    '/cairn/v1/{p}/instances',
    { name: 'busy', url: server.url },
  );
  const { id } = added.body.instance;
  let completed = 0;
  for (let n = 0; !signal.aborted; n++) {
    const created = await service.request<{ backup: { id: string } }>('POST', '/v3/{p}/backups', {
      instance_id: id,
      name: `busy-${n}`,
    });
    if (created.status !== 200) throw new Error(JSON.stringify(created.body));
    for (;;) {
      const path = `/v3/{p}/backups?instance_id=${id}&backup_id=${created.body.backup.id}`;
      const { body } = await service.request<{ backups: { status: string }[] }>('GET', path);
      const status = body.backups[0]?.status;
      if (status === 'FAILED') throw new Error('the running backup failed');
      if (status === 'COMPLETED') break;
      await delay(100);
    }
    completed++;
  }
  return completed;
}

async function measure(catalog: string, databaseUrl: string | null): Promise<void> {
  const environment = {
    CAIRN_RATE_LIMIT: '0',
    CAIRN_LOG_LEVEL: 'warn',
    ...(databaseUrl === null ? {} : { CAIRN_DATABASE_URL: databaseUrl }),
  };
  await using service = await startService({ versions: ['16'], environment });
  await using server = await startLargeServer('16');
  await service.kill('SIGTERM');
  const target: CatalogTarget =
    databaseUrl === null
      ? { kind: 'sqlite', path: join(service.dataDir, 'catalog.sqlite') }
      : { kind: 'postgresql', url: databaseUrl };
  const filling = { backupCount, listedInstanceCount, idleInstanceCount: createCount };
  await fillCatalog(target, { projectId: service.projectId, ...filling });
  await service.start();
  const caller = { service, token: await service.logIn() };
  await measureLists(catalog, caller);
  const enough = new AbortController();
  const busy = keepBackingUp(service, server, enough.signal);
  busy.catch(() => undefined);
  await delay(500);
  await measureCreates(catalog, caller);
  enough.abort();
  process.stderr.write(`${await busy} backups completed meanwhile\n`);
}

const catalogs = options.catalogs.split(',');
if (catalogs.includes('sqlite')) await measure('SQLite', null);
if (catalogs.includes('postgresql')) {
  // A catalog's server keeps its promises: fsync stays on.
  await using server = await startPostgres({ version: '16', settings: { fsync: 'on' } });
  await server.query('create database cairn');
  await measure('PostgreSQL', server.url.replace(/postgres$/, 'cairn'));
}
agent.destroy();
const table = [
  '| catalog | what | calls | p50 ms | p99 ms | max ms |',
  '| --- | --- | ---: | ---: | ---: | ---: |',
  ...rows.map((r) => `| ${Object.values(r).join(' | ')} |`),
];
process.stdout.write(`${JSON.stringify(rows, null, 2)}\n\n${table.join('\n')}\n`);
