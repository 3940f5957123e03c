// A standby takes over that lacks the last commits of its primary, and the archive goes on with it
// in the same stream: what both have is there, and of what only the lost primary had, nothing.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { ArchivedServer } from '../fixtures/archived-server.ts';
import {
  assertPast,
  lsnOf,
  momentAfter,
  startArchivedServer,
} from '../fixtures/archived-server.ts';
import { backUp, createEngineScene, neverAborted } from '../fixtures/engine-scene.ts';
import { createFolderSink } from '../fixtures/file-source.ts';
import type { LedgerCommit } from '../fixtures/ledger-writer.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startStandby } from '../fixtures/postgres-server.ts';
import { until } from '../fixtures/until.ts';

const version = '18';
const onwards = { timeline: null, isInclusive: true } as const;
const scene = new AsyncDisposableStack();
let archived: ArchivedServer;
/** By the order of the log: on both servers, on the lost one only, on the new one. */
let shared: readonly LedgerCommit[];
let lost: readonly LedgerCommit[];
let later: readonly LedgerCommit[];

before(async () => {
  archived = scene.use(await startArchivedServer({ version, writer: { switchEvery: 100 } }));
  const { server: primary, service, writer } = archived;
  await archived.backUp('base');
  const lastBelowBase = writer.commits.at(-1)?.id ?? 0;
  const standby = scene.use(await addStandby(primary));
  await delay(1_000);
  await standby.stop();
  await untilWritten(50);
  await untilStored(writer.commits.at(-1)?.place?.behind ?? assert.fail());
  await primary.crash();
  const before = [...writer.commits];
  await standby.start();
  await standby.query('select pg_promote()');
  writer.moveTo(standby.url);
  const moved = await service.cli('instance', 'update', 'shop-server', '--url', standby.url);
  assert.equal(moved.exitCode, 0, moved.stderr);
  await until('the other server is written to', () => writer.commits.at(-1)?.place !== null);
  await untilWritten(250);
  await writer.stop();
  await archived.untilCovered();
  const kept = new Set(writer.commits.map(({ id }) => id));
  shared = before.filter(({ id }) => id > lastBelowBase && kept.has(id));
  lost = before.filter(({ id }) => !kept.has(id));
  const known = new Set(before.map(({ id }) => id));
  later = writer.commits.filter(({ id }) => !known.has(id));
});
after(() => scene.disposeAsync());

async function addStandby(primary: TestServer): Promise<TestServer> {
  await using engines = await createEngineScene([version]);
  const { driver } = engines;
  const sink = createFolderSink(join(engines.folder, 'standby'));
  const result = await backUp(driver, driver.parseUrl(primary.url), { sink });
  return await startStandby(primary, async (targetDir) => {
    await driver.restoreFolder({
      ...{ source: sink.toSource(result), targetDir, recovery: null, tablespaceDirs: {} },
      ...{ onProgress: () => undefined, signal: neverAborted, log: silentLogger },
    });
  });
}

async function untilWritten(count: number): Promise<void> {
  const from = archived.writer.commits.at(-1)?.id ?? 0;
  await until(`${count} commits`, () => (archived.writer.commits.at(-1)?.id ?? 0) >= from + count);
}

async function untilStored(lsn: string): Promise<void> {
  await until('the lost commits are archived', async () => {
    const { streams } = await archived.past.facts();
    const position = streams.at(-1)?.covered.position;
    return position?.engine === 'postgresql' && position.lsn >= lsnOf(lsn);
  });
}

const at = (of: readonly LedgerCommit[], share: number): LedgerCommit =>
  of[Math.floor((of.length - 1) * share)] ?? assert.fail('there are no such commits');

const placeOf = ({ place }: LedgerCommit): RecoveryTarget => ({
  kind: 'log-position',
  position: place?.behind ?? assert.fail(),
  ...onwards,
});

suite('a failover in the middle of a stream', () => {
  test('is no gap', async () => {
    const { streams } = await archived.past.facts();
    assert.equal(streams.length, 1);
    const position = streams[0]?.covered.position;
    assert.ok(position?.engine === 'postgresql');
    assert.equal(position.timeline, 2);
    assert.ok(lost.length >= 50, `${lost.length} commits are lost`);
    assert.equal((await archived.showArchive())?.last_gap, null);
  });

  test('moments and places before it are reached', async () => {
    await assertPast(archived, momentAfter(at(shared, 0.6)));
    await assertPast(archived, placeOf(at(shared, 0.8)));
    await assertPast(archived, momentAfter(at(shared, 1)));
  });

  test('nothing comes back of what only the lost primary had', async () => {
    await assertPast(archived, momentAfter(at(lost, 0.5)));
    await assertPast(archived, momentAfter(at(lost, 1)));
  });

  test('moments and places behind it are reached', async () => {
    await assertPast(archived, momentAfter(at(later, 0.02)));
    await assertPast(archived, placeOf(at(later, 0.5)));
    await assertPast(archived, { kind: 'latest', timeline: null });
  });
});
