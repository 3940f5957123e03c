// Log of a server that backs it up itself, database by database, in rounds: each backup is a file
// of its own with a file of facts beside it, and positions are the moments at which they began.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EngineDriver, FollowLogOptions } from '../src/engines/engine.ts';
import type { Backup } from '../src/model/backup.ts';
import type { LogPosition } from '../src/model/log-position.ts';
import { targetTime } from '../src/model/recovery-target.ts';
import { needsBase } from '../src/operations/log-archive/ask-for-base.ts';
import { openLogSource } from '../src/operations/restore/open-recovery.ts';
import { findRecoveryFacts, toRecoveryBackup } from '../src/operations/restore/recovery-facts.ts';
import { planRecovery } from '../src/operations/restore/recovery-plan.ts';
import type {
  LogPiece,
  LogStreamRecord,
  LogStreamWriter,
  Repository,
} from '../src/repository/repository.ts';
import { makeBackup } from './fixtures/catalog-values.ts';
import { testProjectId } from './fixtures/catalogs.ts';
import { AbsentStorage, listBackups, openLogScene, untilIntervals } from './fixtures/log-scene.ts';
import { testStreamId } from './fixtures/log-streams.ts';
import type { ManualClock } from './fixtures/manual-clock.ts';
import { never, openTestRepository, testInstanceId } from './fixtures/repositories.ts';

const lease = { assertLease: async () => undefined, signal: never };
const secondMs = 1_000;

function momentOf(ms: number): string {
  return `${new Date(ms).toISOString().replaceAll(/[-:Z]/g, '')}0000`;
}

const at = (ms: number, offsetBytes = 0): LogPosition => ({
  engine: 'sqlserver',
  moment: momentOf(ms),
  offsetBytes,
});

/** Two databases, a round every ten seconds, the second of them a second behind the first. */
class RoundServer {
  readonly rounds: number[] = [];
  /** Bytes of the file of `shop` that are sent before the connection breaks; null: it holds. */
  breaksAfter: number | null = null;
  resumed: FollowLogOptions['resume'] = null;

  driver(clock: ManualClock): EngineDriver {
    const driver: Partial<EngineDriver> = {
      engine: 'sqlserver',
      capabilities: {
        ...{ partialByDatabase: true, restoreToFolder: false, logArchive: true },
        ...{ standbys: false, ownServers: false, differential: true },
      },
      followLog: (_, options) => this.#follow(clock, options),
      releaseLog: async () => undefined,
      releaseLogByHand: () => 'by hand',
    };
    return driver as EngineDriver;
  }

  async #follow(clock: ManualClock, { sink, resume, signal }: FollowLogOptions): Promise<never> {
    this.resumed = resume;
    const facts = { serverVersion: '16.0.1-SE', systemIdentifier: 'server', notes: {} };
    if (!resume) await sink.beginStream({ ...facts, startPosition: at(clock.now().getTime()) });
    const isInside = resume?.position.engine === 'sqlserver' && resume.position.offsetBytes === 100;
    if (isInside && resume.fileStart) await send({ sink, from: 100, start: resume.fileStart });
    for (;;) {
      signal.throwIfAborted();
      const beganMs = clock.now().getTime();
      for (const [index, database] of ['shop', 'crm'].entries()) {
        const start = at(beganMs + index * secondMs);
        const side = `${nameOf(start, database)}.json`;
        sink.beginFile({
          ...{ name: side, kind: 'side', startPosition: start, offsetBytes: 0, sizeBytes: 2 },
        });
        await sink.write(Buffer.from('{}'));
        sink.endFile();
        const to = database === 'shop' && this.breaksAfter !== null ? this.breaksAfter : 300;
        await send({ sink, database, start, to });
        if (to < 300) {
          this.breaksAfter = null;
          await clock.sleep(3 * secondMs, signal);
          throw new Error('the connection broke');
        }
      }
      sink.mark({ position: at(beganMs + secondMs, 300), at: new Date(beganMs) });
      this.rounds.push(beganMs);
      await clock.sleep(10 * secondMs, signal);
    }
  }
}

const nameOf = (start: LogPosition, database: string): string =>
  `${start.engine === 'sqlserver' ? start.moment : ''}-${database}`;

async function send(file: {
  readonly sink: FollowLogOptions['sink'];
  readonly start: LogPosition;
  readonly database?: string;
  readonly from?: number;
  readonly to?: number;
}): Promise<void> {
  const { sink, start, database = 'shop', from = 0, to = 300 } = file;
  const name = `${nameOf(start, database)}.trn`;
  const place = { kind: 'log', startPosition: start, offsetBytes: from, sizeBytes: 300 } as const;
  sink.beginFile({ name, ...place });
  await sink.write(Buffer.from(database.repeat(100).slice(0, 300)).subarray(from, to));
  if (to === 300) sink.endFile();
}

describe('log in rounds', { concurrency: false }, () => {
  it('is covered until the round began, and shown as intervals of its own files', async () => {
    const server = new RoundServer();
    await using scene = await openLogScene(new AbsentStorage(), (clock) => server.driver(clock));
    const { clock, catalog, instance, parts } = scene;
    await scene.schedule();
    scene.startWorker('one');
    await untilIntervals(scene, 2);
    const [stream] = await scene.streams();
    const covered = stream?.progress.covered ?? assert.fail();
    const round = server.rounds.findLast((ms) => ms <= covered.at.getTime());
    assert.equal(covered.at.getTime(), round, 'no later than the round of what is stored');
    assert.deepEqual(covered.position, at((round ?? 0) + secondMs, 300));
    const [newest] = (await listBackups(scene, 'incremental')).items;
    assert.ok(newest?.state.status === 'completed');
    assert.equal(newest.state.totals.fileCount % 2, 0);
    const base = await insertBase(scene, server.rounds[1] ?? 0);
    await clock.advanceUntil(() => server.rounds.length > 5);
    await clock.advanceUntil(async () => {
      const until = (await scene.streams())[0]?.progress.covered?.at.getTime() ?? 0;
      return until >= (server.rounds[4] ?? 0);
    });
    const facts = await findRecoveryFacts(catalog, {
      projectId: testProjectId,
      instanceId: instance.id,
    });
    const planned = planRecovery(facts, targetTime(new Date((server.rounds[4] ?? 0) - 1)));
    assert.ok(planned.outcome === 'possible');
    assert.equal(planned.plan.backupId, base.id);
    assert.ok(parts.repository);
  });

  it('goes on inside the file that broke off', async () => {
    const server = new RoundServer();
    server.breaksAfter = 100;
    await using scene = await openLogScene(new AbsentStorage(), (clock) => server.driver(clock));
    await scene.schedule();
    scene.startWorker('one');
    await scene.clock.advanceUntil(() => server.rounds.length > 0);
    const begun = server.resumed?.position;
    assert.ok(begun?.engine === 'sqlserver');
    assert.equal(begun.offsetBytes, 100);
    assert.deepEqual(server.resumed?.fileStart, { ...begun, offsetBytes: 0 });
    const bytes = Buffer.from(server.resumed?.lastBytes ?? []);
    assert.equal(bytes.toString(), 'shop'.repeat(25));
    await scene.clock.advanceUntil(async () => (await scene.storedText()).includes('crm'));
    const [stream] = await scene.streams();
    const read = await scene.parts.repository.log.readFile(
      ...([scene.instance.id, stream?.id ?? assert.fail()] as const),
      ...([`${nameOf({ ...begun, offsetBytes: 0 }, 'shop')}.trn`, never] as const),
    );
    assert.equal(read.isComplete, true);
    assert.equal(read.bytes.toString(), 'shop'.repeat(75));
  });
});

describe('a base of log in rounds', () => {
  const stream = {
    ...{ projectId: testProjectId, instanceId: testInstanceId, beganAt: new Date(0) },
  };
  const catalogWith = (latest: Backup) => ({
    backups: {
      findLatestCompleted: async () => latest,
      list: async () => ({ items: [], total: 0 }),
    },
  });

  it('lies wholly in the stream: what is backed up before needs older log', async () => {
    for (const [startMs, isNeeded] of [
      [4_000, true],
      [5_000, false],
    ] as const) {
      const catalog = catalogWith(completedBase(startMs, 9_000)) as never;
      const found = await needsBase(catalog, { ...stream, startPosition: at(5_000) });
      assert.equal(found, isNeeded, `a backup that began at ${startMs}`);
    }
  });

  it('is planned with by where its first database began', () => {
    const streams = [
      {
        ...{ id: testStreamId, systemIdentifier: 'server', beganAt: new Date(0) },
        ...{ endedAt: null, keptFrom: at(5_000) },
        covered: { position: at(60_000), at: new Date(60_000) },
      },
    ];
    const early = toRecoveryBackup(completedBase(4_000, 9_000));
    const target = targetTime(new Date(30_000));
    assert.equal(planRecovery({ backups: early, streams }, target).outcome, 'unreachable');
    const fitting = toRecoveryBackup(completedBase(5_000, 9_000));
    assert.equal(planRecovery({ backups: fitting, streams }, target).outcome, 'possible');
  });

  it('can be a differential one, which holds all of it', () => {
    const base = completedBase(5_000, 9_000);
    assert.equal(toRecoveryBackup({ ...base, type: 'fragment' }).length, 1);
    assert.equal(toRecoveryBackup({ ...base, type: 'incremental' }).length, 0);
  });
});

function completedBase(startMs: number, stopMs: number): Backup {
  const totals = { fileCount: 1, logicalBytes: 1, newBytes: 1, storedBytes: 1 };
  const positions = { startPosition: at(startMs), stopPosition: at(stopMs) };
  const endedAt = new Date(stopMs + 1);
  const state = { status: 'completed', endedAt, totals, ...positions } as const;
  return makeBackup({ engine: 'sqlserver', startedAt: new Date(startMs), state });
}

async function insertBase(
  { catalog, instance }: Awaited<ReturnType<typeof openLogScene>>,
  startMs: number,
): Promise<Backup> {
  const base = { ...completedBase(startMs, startMs + 500), instanceId: instance.id };
  await catalog.backups.insert(base);
  return base;
}

describe('stored log in rounds', () => {
  it('is read from the file that began before, and to the end of the plan', async () => {
    await using scene = await openRounds(4);
    const range = { startPosition: at(15_000), endPosition: at(31_000, 10) };
    const source = await openLogSource(
      scene.repository.log,
      { instanceId: testInstanceId, streamId: testStreamId, ...range },
      never,
    );
    const names = (await source.listFiles(never)).map(({ name }) => name);
    // The last that began before may hold what was logged after.
    assert.deepEqual(
      names,
      [at(11_000), at(20_000), at(21_000), at(30_000), at(31_000)].map((start, index) => {
        return `${nameOf(start, index % 2 === 0 ? 'crm' : 'shop')}.trn`;
      }),
    );
    const side = await source.readFile(`${nameOf(at(11_000), 'crm')}.json`, never);
    assert.equal(side.bytes.toString(), '{}');
  });

  it('goes with what lies beside it, but for the last file before the position', async () => {
    await using scene = await openRounds(4);
    const { log } = scene.repository;
    await log.removeBefore(testInstanceId, testStreamId, at(25_000), lease);
    const { pieces } = await log.surveyStream(testInstanceId, testStreamId, never);
    const left = [at(21_000), at(30_000), at(31_000), at(40_000), at(41_000)].flatMap(
      (start, index) => {
        const name = nameOf(start, index % 2 === 0 ? 'crm' : 'shop');
        return [`${name}.json`, `${name}.trn`];
      },
    );
    assert.deepEqual(pieces.map(({ file }) => file.name).sort(), left.sort());
    const checked = await check(scene.repository);
    assert.deepEqual(checked.findings, []);
  });

  it('is not called whole when what is known of a file is missing', async () => {
    await using scene = await openRounds(2);
    const { storage } = scene;
    const lost = [...storage.objects.keys()].find((name) => name.includes('-crm.json/'));
    storage.objects.delete(lost ?? assert.fail());
    const { findings } = await check(scene.repository);
    assert.equal(findings.length, 1);
    assert.match(JSON.stringify(findings), /-crm\.trn.*no restore can use it/);
  });
});

async function check(repository: Repository) {
  return await repository.check({
    instanceIds: [testInstanceId],
    readData: null,
    ...{ onProgress: () => undefined, signal: never },
  });
}

/** Rounds at 10, 20, … seconds. */
async function openRounds(count: number) {
  const storage = new AbsentStorage();
  const { repository } = await openTestRepository(storage);
  const record: LogStreamRecord = {
    ...{ streamId: testStreamId, instanceId: testInstanceId, projectId: testProjectId },
    ...{ instanceName: 'shop', engine: 'sqlserver', beganAt: new Date(0) },
    facts: {
      ...{ serverVersion: '16.0.1-SE', systemIdentifier: 'server' },
      ...{ startPosition: at(5_000), notes: {} },
    },
  };
  const writer = await repository.log.beginStream(record, new Date(0), never);
  for (let round = 1; round <= count; round++) {
    await storeFile(writer, round * 10_000, 'shop');
    await storeFile(writer, round * 10_000 + secondMs, 'crm');
  }
  return {
    ...{ storage, repository },
    [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose](),
  };
}

async function storeFile(writer: LogStreamWriter, ms: number, database: string): Promise<void> {
  const start = at(ms);
  const piece = (kind: 'log' | 'side', suffix: string, lengthBytes: number): LogPiece => ({
    file: { name: `${nameOf(start, database)}.${suffix}`, kind, startPosition: start },
    ...{ offsetBytes: 0, lengthBytes, isLast: true, endAt: new Date(ms) },
    endPosition: kind === 'log' ? at(ms, lengthBytes) : start,
  });
  await writer.store(piece('side', 'json', 2), Buffer.from('{}'), never);
  await writer.store(piece('log', 'trn', 300), Buffer.alloc(300, database), never);
}
