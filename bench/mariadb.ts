// Measures Cairn beside MariaDB's own tools on one server in one run: first backup, unchanged
// backup, 1 % of the rows changed, and a restore to a server that answers. Prints JSON and a table
// of medians. Debian's mariadb-server, mariadb-backup and zstd must be installed.
//
//   npm run bench:backup -- --engine mariadb --size-mb 2000 --rounds 3
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findServerIdentity } from '../src/platform/server-user.ts';
import type { MariadbServer } from '../test/fixtures/mariadb-server.ts';
import { startMariadb } from '../test/fixtures/mariadb-server.ts';
import { fillMariadb } from './mariadb-database.ts';
import type { Sample } from './medians.ts';
import { describeSample, formatMedians } from './medians.ts';
import { openBenchRepository } from './tools/cairn.ts';
import { mariadbBackup } from './tools/mariadb-backup.ts';
import type { Measured } from './tools/tool.ts';
import { folderBytes } from './tools/tool.ts';
import { warmMachine } from './warm-machine.ts';

const { values: options } = parseArgs({
  options: {
    engine: { type: 'string', default: 'mariadb' },
    'size-mb': { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
  },
});
const sizeMb = Number(options['size-mb']);
const rounds = Number(options.rounds);
if (options.engine !== 'mariadb') throw new Error('--engine takes mariadb; see also bench:peers');
if (!(sizeMb >= 20 && sizeMb <= 100_000 && rounds >= 1 && rounds <= 20)) {
  throw new Error('--size-mb takes 20 to 100000, --rounds takes 1 to 20');
}

type Peer = {
  readonly name: string;
  backUp(): Promise<Measured>;
  storedBytes(): Promise<number>;
  /** To a server that has answered; it is stopped afterwards, outside the time. */
  restore(homeDir: string): Promise<Measured>;
};
const samples: Sample[] = [];

async function backUp(peer: Peer, work: string): Promise<void> {
  await warm();
  const before = await peer.storedBytes();
  const measured = await peer.backUp();
  record({ work, tool: peer.name, ...measured, addedBytes: (await peer.storedBytes()) - before });
}

function record(sample: Sample): void {
  samples.push(sample);
  process.stderr.write(describeSample(sample));
}

async function cairn({ url }: MariadbServer, home: string): Promise<Peer> {
  const engine = 'mysql';
  const repository = await openBenchRepository({ engine, url }, home);
  return {
    ...repository,
    restore: async (homeDir) =>
      repository.run({ kind: 'start', engine, url, id: repository.latest(), homeDir }),
  };
}

async function measureRound(server: MariadbServer, home: string, round: number): Promise<void> {
  const peers: Peer[] = [await cairn(server, home), await mariadbBackup(server, home)];
  for (const peer of peers) await backUp(peer, 'first');
  for (const peer of peers) await backUp(peer, 'unchanged');
  await server.query(`update shop.accounts set balance = ? where id % 100 = ?`, [round, round]);
  await server.query(`update shop.documents set tenant = ? where id % 100 = ?`, [round, round]);
  for (const peer of peers) await backUp(peer, '1 % of the rows, anywhere');
  for (const peer of peers) {
    const homeDir = join(home, 'restored');
    await warm();
    const measured = await peer.restore(homeDir);
    record({ work: 'restore to a server', tool: peer.name, ...measured, addedBytes: null });
    await rm(homeDir, { recursive: true, force: true });
  }
}

await using cleaning = new AsyncDisposableStack();
const warm = (): Promise<void> =>
  warmMachine({ home, sizeBytes: sizeMb * 1e6, filesDir: server.dataDir });
const home = await mkdtemp(join(tmpdir(), 'cairn-mariadb-bench-'));
const identity = await findServerIdentity(null);
await chmod(home, 0o755);
cleaning.defer(() => rm(home, { recursive: true, force: true }));
const settings = { 'innodb-buffer-pool-size': '512M', 'innodb-log-file-size': '512M' };
const server = cleaning.use(await startMariadb({ settings }));
await fillMariadb(server, sizeMb);
// All pages are on disk then: an incremental would find every one of them changed.
await server.stop();
await server.start();
for (let round = 1; round <= rounds; round++) {
  const folder = await mkdtemp(join(home, `round-${round}-`));
  await chmod(folder, 0o755);
  if (identity) await chown(folder, identity.uid, identity.gid);
  await measureRound(server, folder, round);
  await rm(folder, { recursive: true });
}
const machine = { processors: cpus().length, model: cpus()[0]?.model, node: process.version };
const sizeBytes = await folderBytes(server.dataDir);
const report = { machine, server: server.serverVersion, sizeBytes, rounds, samples };
process.stdout.write(`${JSON.stringify(report, null, 2)}\n\n${formatMedians(samples)}\n`);
