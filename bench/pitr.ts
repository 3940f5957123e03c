// Measures archiving and recovery on one machine: how old what is stored is under load (RPO), how
// fast log that has piled up is archived (beside pg_receivewal), and how long it takes from nothing
// to a server that takes queries, for a base backup and the log behind it (beside pgBackRest, whose
// Debian package must be installed). Prints JSON and tables.
//
//   npm run bench:pitr -- --size-mb 5000 --replay-mb 1000 --wal-mb 2000 --rpo-seconds 60
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { PostgresVersion, TestServer } from '../test/fixtures/postgres-server.ts';
import { startPostgres } from '../test/fixtures/postgres-server.ts';
import { fillDatabase } from './database.ts';
import { benchSignal, createBenchDriver } from './parts.ts';
import type { CoveredSample, PitrRequest, PitrResult } from './pitr-step.ts';
import { runStep } from './tools/cairn.ts';
import { createPgbackrestArchive } from './tools/pgbackrest-archive.ts';
import { receiveWal } from './tools/receivewal.ts';
import { folderBytes, measureLine } from './tools/tool.ts';

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: 'rpo,archive,recovery' },
    version: { type: 'string', default: 'debian-15' },
    'rpo-seconds': { type: 'string', default: '60' },
    clients: { type: 'string', default: '4' },
    'wal-mb': { type: 'string', default: '2000' },
    'size-mb': { type: 'string', default: '5000' },
    'replay-mb': { type: 'string', default: '1000' },
  },
});
const version = values.version as PostgresVersion;
const parts = values.parts.split(',');
const [rpoSeconds, clients, walMb, sizeMb, replayMb] = (
  ['rpo-seconds', 'clients', 'wal-mb', 'size-mb', 'replay-mb'] as const
).map((name) => {
  const value = Number(values[name]);
  if (!(value >= 1 && value <= 100_000)) throw new Error(`--${name} takes 1 to 100000`);
  return value;
}) as [number, number, number, number, number];

const walSettings = {
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
  shared_buffers: '512MB',
  autovacuum: 'off',
  fsync: 'on',
};
/** Of the log that is to be written, the size of the tables that are updated for it. */
const tablesShare = 0.5;
const sliceCount = 100;

type Row = {
  readonly work: string;
  readonly tool: string;
  readonly wallSeconds: number | null;
  readonly cpuSeconds: number | null;
  readonly storedBytes: number | null;
  readonly remark: string;
};
const rows: Row[] = [];

function record(row: Row): void {
  rows.push(row);
  process.stderr.write(`${JSON.stringify(row)}\n`);
}

type Place = { readonly repositoryDir: string; readonly masterKey: string };
const newPlace = (home: string): Place => ({
  repositoryDir: join(home, 'repository'),
  masterKey: randomBytes(32).toString('hex'),
});

/** In a process of its own. */
async function runPitrStep(
  request: PitrRequest,
): Promise<{ readonly result: PitrResult; readonly samples: readonly number[] }> {
  const path = join(import.meta.dirname, 'pitr-step.ts');
  const args = ['--disable-warning=ExperimentalWarning', path, JSON.stringify(request)];
  const profile = process.env['BENCH_PROFILE'];
  if (profile) args.unshift('--cpu-prof', `--cpu-prof-dir=${profile}`);
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const samples: number[] = [];
  let result: PitrResult | null = null;
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as CoveredSample | PitrResult;
    if (line.kind === 'covered') samples.push(line.ageMs);
    else result = line;
  }
  const [code] = await ended;
  if (code !== 0 || !result) throw new Error(`step failed with ${code}`);
  return { result, samples };
}

/** The age of what is stored, by the server's clock, ten times a second. */
async function measureRpo(home: string): Promise<void> {
  await using server = await startPostgres({ version, settings: walSettings });
  const place = newPlace(home);
  const env = { PGPASSWORD: server.password, PGHOST: '127.0.0.1', PGPORT: String(server.port) };
  const pgbench = `${server.binDir}/pgbench -U postgres`;
  measureLine(`${pgbench} -i -q -s 20 postgres`, { env });
  const load = spawn(
    '/bin/sh',
    ['-c', `exec ${pgbench} -n -c ${clients} -j 2 -T ${rpoSeconds + 5} postgres`],
    { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let printed = '';
  load.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const loadEnded = once(load, 'close');
  const step = { kind: 'follow', url: server.url, keeperName: 'cairn_bench' } as const;
  const until = { seconds: rpoSeconds };
  const { result, samples } = await runPitrStep({ ...place, step: { ...step, until } });
  await loadEnded;
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): string => {
    const ms = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
    return `${(ms / 1000).toFixed(2)} s`;
  };
  const tps = /tps = ([\d.]+)/.exec(printed)?.[1] ?? '?';
  record({
    ...{ work: `RPO, pgbench with ${clients} clients (${tps} tps)`, tool: 'Cairn' },
    ...{ wallSeconds: result.wallSeconds, cpuSeconds: result.cpuSeconds },
    storedBytes: await folderBytes(place.repositoryDir),
    remark: `max ${at(1)}, p99 ${at(0.99)}, median ${at(0.5)}, of ${samples.length} samples`,
  });
}

type Written = { readonly endLsn: string; readonly segmentName: string; readonly mb: number };

/** Updates slice after slice of the tables until so much log is written, in whole segments. */
async function writeWal(server: TestServer, mb: number): Promise<Written> {
  const [start] = await server.query('select pg_current_wal_lsn()::text as lsn');
  const written = async (): Promise<number> => {
    const sql = 'select (pg_current_wal_lsn() - $1::pg_lsn)::float8 as bytes';
    const [row] = await server.query(sql, [start?.['lsn']]);
    return Number(row?.['bytes']) / 1e6;
  };
  for (let round = 0; (await written()) < mb; round++) {
    const slice = round % sliceCount;
    // From then on every page is logged in full once more.
    if (slice === 0) await server.query('checkpoint');
    const rows = (table: string, key: string): string =>
      `${key} % 5 = 0
       and ${key} between (select max(${key}) * ${slice} / ${sliceCount} from ${table})
       and (select max(${key}) * ${slice + 1} / ${sliceCount} from ${table})`;
    await server.query(
      `update documents set meta = jsonb_set(meta, '{views}', '${round}')
       where ${rows('documents', 'id')}`,
    );
    await server.query(
      `update pgbench_accounts set abalance = ${round}
       where ${rows('pgbench_accounts', 'aid')}`,
    );
  }
  const [end] = await server.query(
    'select pg_current_wal_lsn()::text as lsn, pg_walfile_name(pg_current_wal_lsn()) as name',
  );
  const amount = { endLsn: String(end?.['lsn']), mb: await written() };
  // pg_receivewal ends behind its end position only.
  await server.query('select pg_switch_wal()');
  await server.query('create table behind_the_end ()');
  await server.query('select pg_switch_wal()');
  return { ...amount, segmentName: String(end?.['name']) };
}

const reserve = (server: TestServer, slot: string) =>
  server.query('select pg_create_physical_replication_slot($1, true)', [slot]);

async function measureArchive(home: string): Promise<void> {
  await using server = await startPostgres({ version, settings: walSettings });
  await fillDatabase(server, Math.max(30, walMb * tablesShare));
  const receivers = { gzip: 'gzip', 'gzip:1': 'gzip_1', lz4: 'lz4' };
  for (const slot of ['cairn_bench', ...Object.values(receivers)]) await reserve(server, slot);
  const { endLsn, mb } = await writeWal(server, walMb);
  const work = `archive ${Math.round(mb)} MB of log`;
  const rate = (seconds: number): string => `${Math.round(mb / seconds)} MB/s`;
  const place = newPlace(home);
  const step = { kind: 'follow', url: server.url, keeperName: 'cairn_bench' } as const;
  const until = { lsn: endLsn };
  const { result } = await runPitrStep({ ...place, step: { ...step, until } });
  const { wallSeconds, cpuSeconds } = result;
  const storedBytes = await folderBytes(place.repositoryDir);
  record({
    ...{ work, tool: 'Cairn', wallSeconds, cpuSeconds, storedBytes },
    remark: rate(wallSeconds),
  });
  for (const [compress, slot] of Object.entries(receivers)) {
    const measured = await receiveWal(server, { home, slot, compress, endLsn });
    const tool = `pg_receivewal --compress=${compress}`;
    record({ work, tool, ...measured, remark: rate(measured.wallSeconds) });
  }
}

async function measureRecovery(home: string): Promise<void> {
  const pgbackrest = await createPgbackrestArchive(home);
  const archiving = { archive_mode: 'on', archive_command: pgbackrest.archiveCommand };
  await using server = await startPostgres({
    version,
    settings: { ...walSettings, ...archiving },
  });
  await fillDatabase(server, sizeMb);
  await pgbackrest.backUp(server);
  await reserve(server, 'cairn_bench');
  const place = newPlace(home);
  const from = { engine: 'postgresql', url: server.url } as const;
  const backup = { kind: 'backup', ...from, id: 'bench-1', previous: null } as const;
  runStep({ ...place, step: backup });
  const { endLsn, segmentName, mb } = await writeWal(server, replayMb);
  const { url, binDir } = server;
  const following = { kind: 'follow', url, keeperName: 'cairn_bench' } as const;
  const until = { lsn: endLsn };
  await runPitrStep({ ...place, step: { ...following, until } });
  await pgbackrest.untilArchived(server, segmentName);
  await server.stop();
  const work = `to a server that takes queries: ${sizeMb} MB and ${Math.round(mb)} MB of log`;
  const homeDir = join(home, 'restored');
  const recovering = { kind: 'recover', backupId: 'bench-1', url, binDir, homeDir } as const;
  const endPosition = `postgresql:1:${endLsn}`;
  const { result } = await runPitrStep({ ...place, step: { ...recovering, endPosition } });
  const { wallSeconds, cpuSeconds, phases } = result;
  const managed = { homeDir, dataDir: join(homeDir, 'data'), binDir };
  await createBenchDriver('postgresql', [binDir]).stopManaged(managed, benchSignal);
  await rm(homeDir, { recursive: true });
  const told = Object.entries(phases).map(([name, at]) => `${name} from ${at.toFixed(1)} s`);
  const remark = told.join(', ');
  record({ work, tool: 'Cairn', wallSeconds, cpuSeconds, storedBytes: null, remark });
  const peer = await pgbackrest.recover(server);
  record({
    ...{ work, tool: 'pgBackRest, process-max=2, archive-async' },
    ...{ wallSeconds: peer.wallSeconds, cpuSeconds: null, storedBytes: null },
    remark: `replaying from ${peer.restoredSeconds.toFixed(1)} s`,
  });
}

function formatTable(): string {
  const number = (value: number | null, digits: number): string => value?.toFixed(digits) ?? '';
  const lines = rows.map(({ work, tool, wallSeconds, cpuSeconds, storedBytes, remark }) => {
    const storedMb = storedBytes === null ? null : storedBytes / 1e6;
    const numbers = [number(wallSeconds, 1), number(cpuSeconds, 1), number(storedMb, 1)];
    return `| ${[work, tool, ...numbers, remark].join(' | ')} |`;
  });
  const head = '| work | tool | wall s | CPU s | stored MB | |';
  return [head, '| --- | --- | ---: | ---: | ---: | --- |', ...lines].join('\n');
}

const measures = { rpo: measureRpo, archive: measureArchive, recovery: measureRecovery };
for (const part of parts) {
  if (!(part in measures)) throw new Error(`--parts takes ${Object.keys(measures).join(', ')}`);
}
for (const part of parts) {
  const home = await mkdtemp(join(tmpdir(), 'cairn-pitr-'));
  await chmod(home, 0o755);
  try {
    await measures[part as keyof typeof measures](home);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
const machine = { processors: cpus().length, model: cpus()[0]?.model, node: process.version };
process.stdout.write(
  `${JSON.stringify({ machine, version, rows }, null, 2)}\n\n${formatTable()}\n`,
);
