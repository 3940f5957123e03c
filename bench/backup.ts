// Measures first backup, unchanged backup, backups after 1 % of the rows changed (at random, and
// side by side) and restore, on a generated database, and in the same run `pg_basebackup -Ft |
// zstd` beside it. Prints JSON.
//
//   npm run bench:backup -- --size-mb 1000 --rounds 3
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { PostgresVersion, TestServer } from '../test/fixtures/postgres-server.ts';
import { startPostgres } from '../test/fixtures/postgres-server.ts';
import type { StepRequest, StepResult } from './step.ts';

const { values: options } = parseArgs({
  options: {
    'size-mb': { type: 'string', default: '500' },
    rounds: { type: 'string', default: '1' },
    version: { type: 'string', default: 'debian-15' },
  },
});
const sizeMb = Number(options['size-mb']);
const rounds = Number(options.rounds);
if (!(sizeMb >= 10 && sizeMb <= 100_000 && rounds >= 1 && rounds <= 20)) {
  throw new Error('--size-mb takes 10 to 100000, --rounds takes 1 to 20');
}

/** About 1 kB a row: words, a JSON document, a random token that does not compress. */
const fillSql = `
  create table bench as
    select id, id * 7919 % 500 as tenant,
           timestamp '2024-01-01' + id * interval '41 seconds' as created,
           (select string_agg((array['order','payment','shipment','customer','return','invoice',
              'the','of','and','with','was','by'])[1 + ((id * 31 + w * w * 7) % 12)::int] || w, ' ')
            from generate_series(1, 60) w) as body,
           jsonb_build_object('token', md5(id::text) || md5((id * 3)::text), 'views', id % 5000,
             'email', 'user' || id % 200000 || '@example.com') as meta
    from generate_series(1::bigint, $ROWS) id;
  alter table bench add primary key (id);
  create table hot as select * from bench;
  alter table hot add primary key (id)`;

type Measurement = StepResult & { readonly what: string; readonly mbPerSecond: number };

const results: Measurement[] = [];
const record = (what: string, result: StepResult): void => {
  const mbPerSecond = Math.round(result.logicalBytes / 1e6 / result.wallSeconds);
  results.push({ what, mbPerSecond, ...result });
  process.stderr.write(`${what}: ${result.wallSeconds.toFixed(2)} s, ${mbPerSecond} MB/s\n`);
};

function runStep(request: StepRequest): StepResult {
  const script = join(import.meta.dirname, 'step.ts');
  const args = ['--disable-warning=ExperimentalWarning', script, JSON.stringify(request)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`step failed: ${stderr}`);
  return JSON.parse(stdout);
}

/** `bash` prints the CPU time of its children with `times`. */
async function runPeer(server: TestServer, folder: string): Promise<StepResult> {
  const file = join(folder, 'peer.tar.zst');
  // One stream to a pipe needs the WAL in it, and cannot carry tablespaces; there are none.
  const base = `${server.binDir}/pg_basebackup -d '${server.url}' -Ft -X fetch -c fast -D -`;
  const script = `set -e -o pipefail; ${base} | zstd -q -1 -T2 -o ${file} -f; times`;
  const beganMs = performance.now();
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  const wallSeconds = (performance.now() - beganMs) / 1000;
  if (status !== 0) throw new Error(`pg_basebackup | zstd failed: ${stderr}`);
  const children = stdout.trim().split('\n').at(-1) ?? '';
  const cpuSeconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
  const { size } = await stat(file);
  await rm(file);
  const [row] = await server.query(
    'select sum(pg_database_size(oid))::float8 as n from pg_database',
  );
  const logicalBytes = Number(row?.['n']);
  return { wallSeconds, cpuSeconds, peakMemoryBytes: 0, logicalBytes, storedBytes: size };
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-bench-'));
  await chmod(folder, 0o755);
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const settings = { max_wal_size: '4GB', shared_buffers: '512MB', autovacuum: 'off' };
  const version = options.version as PostgresVersion;
  const server = cleaning.use(await startPostgres({ version, settings }));
  const rows = Math.round((sizeMb * 1e6) / 2 / 1100);
  await server.query(fillSql.replace('$ROWS', String(rows)));
  await server.query('vacuum (freeze, analyze)');
  for (let round = 1; round <= rounds; round++) await measureRound(server, folder, rows, round);
  const [row] = await server.query('select version()');
  const machine = {
    processors: cpus().length,
    model: cpus()[0]?.model ?? '',
    node: process.version,
  };
  const report = { machine, server: row?.['version'], sizeMb, rounds, results };
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}

async function measureRound(
  server: TestServer,
  folder: string,
  rows: number,
  round: number,
): Promise<void> {
  const repositoryDir = join(folder, `repository-${round}`);
  const common = { repositoryDir, masterKey: randomBytes(32).toString('hex') };
  let previous: string | null = null;
  const backUp = (what: string): void => {
    const id = `${what.replace(/[^a-z0-9]+/g, '-')}-${round}`;
    record(what, runStep({ ...common, step: { kind: 'backup', url: server.url, id, previous } }));
    previous = id;
  };
  await server.query('checkpoint');
  record('pg_basebackup -Ft | zstd -1 -T2', await runPeer(server, folder));
  backUp('first backup');
  backUp('unchanged backup');
  const token = `jsonb_set(meta, '{views}', to_jsonb(${round}))`;
  await server.query(`update bench set meta = ${token} where id % 100 = ${round}`);
  await server.query('checkpoint');
  backUp('1 % of the rows changed, spread');
  const hot = `id between ${Math.floor(rows / 2)} and ${Math.floor(rows * 0.51)}`;
  await server.query(`update hot set meta = ${token} where ${hot}`);
  await server.query('checkpoint');
  backUp('1 % of the rows changed, side by side');
  const targetDir = join(folder, 'restored');
  const id = previous ?? '';
  record('restore', runStep({ ...common, step: { kind: 'restore', id, targetDir } }));
  await rm(targetDir, { recursive: true });
  await rm(repositoryDir, { recursive: true });
}

await main();
