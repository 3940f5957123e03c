// Measures Cairn beside its peers on one database in one run: first backup, unchanged backup,
// backups after 1 % of the rows changed (anywhere, then side by side) and restore. Prints JSON and
// a table of medians. The peers' Debian packages must be installed: pgbackrest, restic, zstd.
//
//   npm run bench:peers -- --size-mb 4400 --rounds 3
//
// `--at-rest no` leaves out an unchanged backup of files that were written long before, for which
// five minutes are waited.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { PostgresVersion, TestServer } from '../test/fixtures/postgres-server.ts';
import { startPostgres } from '../test/fixtures/postgres-server.ts';
import type { BenchDatabase } from './database.ts';
import { fillDatabase } from './database.ts';
import type { Sample } from './medians.ts';
import { describeSample, formatMedians } from './medians.ts';
import { pipedBasebackup, serverSideBasebackup } from './tools/basebackup.ts';
import { cairn } from './tools/cairn.ts';
import { pgbackrest } from './tools/pgbackrest.ts';
import { restic } from './tools/restic.ts';
import type { Tool } from './tools/tool.ts';
import { warmMachine } from './warm-machine.ts';

const tools = {
  cairn,
  pgbackrest,
  restic,
  piped: pipedBasebackup,
  'server-side': serverSideBasebackup,
};
type ToolName = keyof typeof tools;

const { values: options } = parseArgs({
  options: {
    'size-mb': { type: 'string', default: '4400' },
    rounds: { type: 'string', default: '3' },
    version: { type: 'string', default: 'debian-15' },
    tools: { type: 'string', default: Object.keys(tools).join(',') },
    'at-rest': { type: 'string', default: 'yes' },
  },
});
const sizeMb = Number(options['size-mb']);
const rounds = Number(options.rounds);
if (!(sizeMb >= 20 && sizeMb <= 100_000 && rounds >= 1 && rounds <= 20)) {
  throw new Error('--size-mb takes 20 to 100000, --rounds takes 1 to 20');
}
const chosen = options.tools.split(',').map((name) => {
  if (!(name in tools)) throw new Error(`--tools takes ${Object.keys(tools).join(', ')}`);
  return name as ToolName;
});

/** Files that are older count as unchanged without being read (Cairn over SQL). */
const restMs = 5.5 * 60_000;

type RoundSample = Sample & { readonly round: number };
const samples: RoundSample[] = [];

function record(sample: RoundSample): void {
  samples.push(sample);
  process.stderr.write(describeSample(sample));
}

type Warm = () => Promise<void>;

async function backUp(tool: Tool, work: string, round: number, warm: Warm): Promise<void> {
  await warm();
  const before = await tool.storedBytes().catch(() => 0);
  const measured = await tool.backUp();
  const addedBytes = (await tool.storedBytes()) - before;
  record({ tool: tool.name, work, round, addedBytes, ...measured });
}

async function measureRound(
  server: TestServer,
  database: BenchDatabase,
  home: string,
  round: number,
): Promise<void> {
  const writtenMs = Date.now();
  const warm: Warm = () => warmMachine({ home, sizeBytes: sizeMb * 1e6, filesDir: server.dataDir });
  const all: Tool[] = [];
  for (const name of chosen) all.push(await tools[name](server, home));
  const everyone = async (work: string): Promise<void> => {
    for (const tool of all) await backUp(tool, work, round, warm);
  };
  const incremental = all.filter(({ restore, name }) => restore && !name.startsWith('pg_'));
  const again = async (work: string): Promise<void> => {
    for (const tool of incremental) await backUp(tool, work, round, warm);
  };
  await everyone('first');
  await again('unchanged');
  if (options['at-rest'] === 'yes') {
    await setTimeout(Math.max(0, writtenMs + restMs - Date.now()));
    for (const tool of incremental) await tool.backUp();
    await again('unchanged, files at rest');
  }
  await database.updateSpread(round);
  await again('1 % of the rows, anywhere');
  await database.updateHot(round);
  await again('1 % of the rows, side by side');
  for (const { name, restore } of all) {
    if (!restore) continue;
    const targetDir = join(home, 'restored');
    await warm();
    const measured = await restore(targetDir);
    record({ tool: name, work: 'restore', round, addedBytes: null, ...measured });
    await rm(targetDir, { recursive: true });
  }
}

await using cleaning = new AsyncDisposableStack();
const home = await mkdtemp(join(tmpdir(), 'cairn-peers-'));
await chmod(home, 0o755);
cleaning.defer(() => rm(home, { recursive: true, force: true }));
const settings = { max_wal_size: '8GB', shared_buffers: '512MB', autovacuum: 'off' };
const version = options.version as PostgresVersion;
const server = cleaning.use(await startPostgres({ version, settings }));
const database = await fillDatabase(server, sizeMb);
const sizeBytes = await database.sizeBytes();
for (let round = 1; round <= rounds; round++) {
  const folder = await mkdtemp(join(home, `round-${round}-`));
  await chmod(folder, 0o755);
  await measureRound(server, database, folder, round);
  await rm(folder, { recursive: true });
}
const [row] = await server.query('select version()');
const machine = { processors: cpus().length, model: cpus()[0]?.model, node: process.version };
const report = { machine, server: row?.['version'], sizeBytes, rounds, samples };
process.stdout.write(`${JSON.stringify(report, null, 2)}\n\n${formatMedians(samples)}\n`);
