// The history of a server, restored to random places of its past: at each exactly the commits are
// there that the target names. CAIRN_HISTORY_VERSIONS (18 by default; 15, 16, 17, debian-15 too),
// CAIRN_HISTORY_TARGETS and CAIRN_HISTORY_SEED choose.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BackupId } from '../../src/model/ids.ts';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { runBounded } from '../../src/platform/bounded.ts';
import type { ArchivedServer } from '../fixtures/archived-server.ts';
import { assertPast, lsnBetween, lsnOf, startArchivedServer } from '../fixtures/archived-server.ts';
import type { LedgerCommit } from '../fixtures/ledger-writer.ts';
import { mulberry32 } from '../fixtures/mulberry32.ts';
import type { PostgresVersion } from '../fixtures/postgres-server.ts';

const versions = (process.env['CAIRN_HISTORY_VERSIONS'] ?? '18').split(',');
/** Without an order ten: the time is short. */
const targetCount = Number(process.env['CAIRN_HISTORY_TARGETS'] ?? 20);
const seed = Number(process.env['CAIRN_HISTORY_SEED'] ?? Date.now() % 1_000_000);
const atOnce = 2;
const partMs = 4_000;
/** A record of a commit, and nothing besides. */
const commitBytesMax = 64n;

/** Written under these eyes, from `from` on; what lies before only the first backup holds. */
type History = {
  readonly commits: readonly LedgerCommit[];
  readonly backups: readonly { readonly id: BackupId; readonly until: LedgerCommit }[];
};

for (const version of versions as PostgresVersion[]) {
  suite(`the history of PostgreSQL ${version}`, () => {
    test(`is exact at ${targetCount} targets`, { timeout: 600_000 }, async (t) => {
      t.diagnostic(`CAIRN_HISTORY_SEED=${seed}`);
      const writer = { switchEvery: 150, pointEvery: 7 };
      await using archived = await startArchivedServer({ version, writer });
      const history = await writeHistory(archived);
      const random = mulberry32(seed);
      const targets: RecoveryTarget[] = [{ kind: 'latest', timeline: null }];
      while (targets.length < targetCount) targets.push(drawTarget(history, random));
      const kinds = Map.groupBy(targets, ({ kind }) => kind);
      const counts = [...kinds].map(([kind, { length }]) => `${length} ${kind}`).join(', ');
      t.diagnostic(`${history.commits.length} commits; ${counts}`);
      await runBounded(targets, atOnce, (target) => assertPast(archived, target));
    });
  });
}

async function writeHistory(archived: ArchivedServer): Promise<History> {
  const { writer } = archived;
  const backups: History['backups'][number][] = [];
  for (const name of ['first', 'middle']) {
    const id = await archived.backUp(name);
    await delay(50);
    const until = writer.commits.at(-1) ?? assert.fail();
    backups.push({ id, until });
    await delay(partMs);
  }
  await writer.stop();
  await archived.untilCovered();
  const from = backups[0]?.until ?? assert.fail();
  return { backups, commits: writer.commits.filter(({ id }) => id > from.id) };
}

function drawTarget({ commits, backups }: History, random: () => number): RecoveryTarget {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] ?? assert.fail();
  const timeline = null;
  const isInclusive = random() < 0.5;
  const chance = random();
  if (chance < 0.45) {
    const [first, last] = [commits[0], commits.at(-1)].map((one) => msOf(one ?? assert.fail()));
    assert.ok(first && last);
    const at = new Date(Math.ceil(first + random() * (last - first)));
    return { kind: 'time', at, timeline, isInclusive };
  }
  const usual = commits.filter(isAlone);
  const { place } = pick(usual);
  assert.ok(place);
  if (chance < 0.6) return { kind: 'log-position', position: place.before, timeline, isInclusive };
  if (chance < 0.8) {
    const position = lsnBetween(place.before, place.behind, random());
    return { kind: 'log-position', position, timeline, isInclusive };
  }
  const isNamed = chance < 0.9;
  const chosen = pick(isNamed ? commits.filter(({ pointName }) => pointName) : usual);
  const backup = pick(backups.filter(({ until }) => until.id < chosen.id));
  const { pointName } = chosen;
  return isNamed && pointName
    ? { kind: 'name', name: pointName, backupId: backup.id, timeline }
    : { kind: 'xid', xid: chosen.xid, backupId: backup.id, timeline, isInclusive };
}

/** Nothing else was written just then: its record begins where the log ended before. */
function isAlone({ place }: LedgerCommit): boolean {
  return place !== null && lsnOf(place.behind) - lsnOf(place.before) <= commitBytesMax;
}

function msOf({ atMicros }: LedgerCommit): number {
  return Number(atMicros) / 1000;
}
