// The history of a MariaDB server, replayed to random places of its past: at each exactly the
// commits are there that the target names. CAIRN_HISTORY_TARGETS and CAIRN_HISTORY_SEED choose.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogPosition } from '../../src/model/log-position.ts';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { runBounded } from '../../src/platform/bounded.ts';
import type { LedgerCommit, LoggedTransaction } from '../fixtures/mariadb-ledger.ts';
import {
  createLedger,
  endOfLog,
  folderLog,
  ledgerTables,
  listLogs,
  readLedger,
  readLogOrder,
  writeLedger,
} from '../fixtures/mariadb-ledger.ts';
import type { ReplayScene } from '../fixtures/mariadb-replay.ts';
import { openReplayScene } from '../fixtures/mariadb-replay.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { mulberry32 } from '../fixtures/mulberry32.ts';

const targetCount = Number(process.env['CAIRN_HISTORY_TARGETS'] ?? 20);
const seed = Number(process.env['CAIRN_HISTORY_SEED'] ?? Date.now() % 1_000_000);
const atOnce = 2;
/** Before the backup. */
const firstCount = 20;
/** Larger than one packet of the protocol. */
const largeBytes = 17 * 2 ** 20;

type History = {
  readonly commits: readonly LedgerCommit[];
  /** Everything in the log behind the backup, also what is none of the ledger. */
  readonly order: readonly LoggedTransaction[];
  readonly end: LogPosition;
};
type Draw = { readonly target: RecoveryTarget; readonly skipped: readonly string[] };

suite('the history of MariaDB', () => {
  test(`is exact at ${targetCount} targets`, { timeout: 600_000 }, async (t) => {
    t.diagnostic(`CAIRN_HISTORY_SEED=${seed}`);
    const settings = { 'innodb-log-file-size': '8M', 'max-allowed-packet': '64M' };
    await using server = await startMariadb({ settings });
    await createLedger(server);
    await writeLedger(server, { from: 1, to: firstCount });
    await using scene = await openReplayScene(server);
    const history = await writeHistory(server, scene);
    const random = mulberry32(seed);
    const draws: Draw[] = [{ target: { kind: 'latest', timeline: null }, skipped: [] }];
    while (draws.length < targetCount) draws.push(draw(history, random));
    const kinds = Map.groupBy(draws, ({ target }) => target.kind);
    const counts = [...kinds].map(([kind, { length }]) => `${length} ${kind}`).join(', ');
    t.diagnostic(`${history.order.length} transactions; ${counts}`);
    await runBounded(draws, atOnce, (one) => assertPast(server, scene, history, one));
  });
});

/** Two writers at once, log rotation, tables that come and go, a crash, a large row. */
async function writeHistory(server: MariadbServer, scene: ReplayScene): Promise<History> {
  const commits: LedgerCommit[] = [];
  const tableOf = (id: number) => ledgerTables[id % 5 === 0 ? (id % 2) + 1 : 0] ?? 'ledger';
  const write = async (from: number, to: number, domain: number): Promise<void> => {
    const own = await writeLedger(server, {
      ...{ from, to, tableOf, domainOf: () => domain },
      async also(query, id) {
        await delay(4);
        if (id % 60 === 0) await query('flush binary logs');
        if (id % 25 === 0) await query(`create table books.extra_${id} (id int) engine=InnoDB`);
        if (id % 50 === 0) await query(`drop table books.extra_${id}`);
        if (id % 40 === 0) await query(`insert into books.ledger values (-${id}, '')`);
        if (id % 40 === 0) await query(`delete from books.ledger where id = -${id}`);
      },
    });
    commits.push(...own);
  };
  await Promise.all([write(101, 220, 0), write(1101, 1220, 7)]);
  await server.crash();
  await server.start();
  await writeLedgerLarge(server, commits);
  await Promise.all([write(301, 420, 0), write(1301, 1420, 7)]);
  const end = await server.session(endOfLog);
  const { file, offsetBytes } = scene.backupEnd;
  const files = (await listLogs(server)).filter((name) => name >= file);
  const order = (await readLogOrder(server, files)).filter((one) => {
    return one.file !== file || one.startBytes >= offsetBytes;
  });
  return { commits, order, end };
}

async function writeLedgerLarge(server: MariadbServer, commits: LedgerCommit[]): Promise<void> {
  commits.push(...(await writeLedger(server, { from: 300, to: 300, bodyBytes: largeBytes })));
}

function draw({ commits, order }: History, random: () => number): Draw {
  const pick = <T>(items: readonly T[]): T => {
    const item = items[Math.floor(random() * items.length)];
    assert.ok(item !== undefined);
    return item;
  };
  const isInclusive = random() < 0.5;
  const one = pick(order);
  const before = order.slice(0, order.indexOf(one)).filter(({ gtid }) => {
    return commits.some((commit) => commit.gtid === gtid);
  });
  const skipped = random() < 0.5 && before.length > 0 ? [pick(before).gtid] : [];
  const kind = pick(['gtid', 'log-position', 'time'] as const);
  switch (kind) {
    case 'gtid':
      return { target: { kind, gtid: one.gtid, isInclusive }, skipped };
    case 'log-position': {
      const position = `${one.file}:${one.startBytes}`;
      return { target: { kind, position, isInclusive, timeline: null }, skipped };
    }
    case 'time': {
      const at = new Date(pick(commits).doneAt.getTime() + Math.floor(random() * 20) - 10);
      return { target: { kind, at, isInclusive, timeline: null }, skipped: [] };
    }
  }
}

async function assertPast(
  server: MariadbServer,
  scene: ReplayScene,
  history: History,
  { target, skipped }: Draw,
): Promise<void> {
  const log = folderLog(server, { startPosition: scene.backupEnd, endPosition: history.end });
  const recovery = { target, skippedTransactions: skipped, log, newestTimeline: 1 };
  const { found: all } = await scene.replay(recovery, readLedger);
  // Those below zero are there between two statements, and no commits of the ledger.
  const found = all.filter((id) => id > 0);
  const text = `${JSON.stringify({ target, skipped })} (seed ${seed})`;
  const first = Array.from({ length: firstCount }, (_, index) => index + 1);
  if (target.kind === 'time') assertByTime(history.commits, found, target.at, text);
  const last = lastReplayed(history, target, found);
  const replayed = new Set(history.order.slice(0, last).map(({ gtid }) => gtid));
  const wanted = history.commits
    .filter(({ gtid }) => replayed.has(gtid) && !skipped.includes(gtid))
    .map(({ id }) => id);
  assert.deepEqual(
    found,
    [...first, ...wanted].toSorted((a, b) => a - b),
    text,
  );
}

/** Where a time's cut lies, only the server knows: what it has must be cut somewhere. */
function lastReplayed(
  { order, commits }: History,
  target: RecoveryTarget,
  found: readonly number[],
): number {
  switch (target.kind) {
    case 'gtid':
      return order.findIndex(({ gtid }) => gtid === target.gtid) + (target.isInclusive ? 1 : 0);
    case 'log-position': {
      const at = order.findIndex(
        ({ file, startBytes }) => target.position === `${file}:${startBytes}`,
      );
      return at + (target.isInclusive ? 1 : 0);
    }
    case 'time': {
      const held = commits.filter(({ id }) => found.includes(id)).map(({ gtid }) => gtid);
      return order.findLastIndex(({ gtid }) => held.includes(gtid)) + 1;
    }
    default:
      return order.length;
  }
}

/** By the writers' own clocks: all that was done by then, and nothing of a later second. */
function assertByTime(
  commits: readonly LedgerCommit[],
  found: readonly number[],
  at: Date,
  text: string,
): void {
  const missing = commits.filter(({ id, doneAt }) => doneAt < at && !found.includes(id));
  assert.deepEqual(missing, [], text);
  const secondMs = (moment: Date): number => Math.floor(moment.getTime() / 1000) * 1000;
  const late = commits.filter(
    ({ id, askedAt }) => secondMs(askedAt) >= at.getTime() && found.includes(id),
  );
  assert.deepEqual(late, [], text);
}
