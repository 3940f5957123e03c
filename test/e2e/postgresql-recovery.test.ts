// Recovery of real servers to moments, places and names in their log: exactly what was committed by
// then is there, and where that cannot be had no server is left behind.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BaseBackupResult, LogSource } from '../../src/engines/engine.ts';
import { findPostmaster } from '../../src/engines/postgresql/postmaster-file.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { BackupId } from '../../src/model/ids.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import { formatLsn } from '../../src/model/log-position.ts';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { targetTime } from '../../src/model/recovery-target.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted, runSql } from '../fixtures/engine-scene.ts';
import type { FolderSink } from '../fixtures/file-source.ts';
import { createFolderSink } from '../fixtures/file-source.ts';
import type { Commit } from '../fixtures/ledger.ts';
import {
  createLedger,
  endOfLog,
  folderLog,
  ledgerSettings,
  writeLedger,
} from '../fixtures/ledger.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';

const backupId = 'any' as BackupId;
const anywhere = { timeline: null, isInclusive: true } as const;
let scene: EngineScene;
before(async () => {
  scene = await createEngineScene();
});
after(() => scene[Symbol.asyncDispose]());

// Every target on the newest; on the oldest those whose way through the server differs.
for (const version of ['15', '18'] as const) {
  suite(`recovery of PostgreSQL ${version}`, () => {
    let server: TestServer;
    let sink: FolderSink;
    let backup: BaseBackupResult;
    let commits: readonly Commit[];
    let end: LogPosition;

    before(async () => {
      server = await startPostgres({ version, settings: ledgerSettings });
      await createLedger(server);
      const first = await writeLedger(server, 1, 5);
      // What production says of recoveries of its own must not reach ours.
      await server.query(`alter system set recovery_target_name = 'of production'`);
      await server.query(`alter system set recovery_min_apply_delay = '1h'`);
      sink = createFolderSink(join(scene.folder, `backup-${version}`));
      backup = await backUp(scene.driver, scene.driver.parseUrl(server.url), { sink });
      const second = await writeLedger(server, 6, 45);
      await server.query(`select pg_create_restore_point('before the change')`);
      commits = [...first, ...second, ...(await writeLedger(server, 46, 70))];
      end = await endOfLog(server);
    });
    after(() => server[Symbol.asyncDispose]());

    const commitOf = (id: number): Commit => commits[id - 1] ?? assert.fail();
    const archive = (): LogSource =>
      folderLog(server, {
        systemIdentifier: backup.systemIdentifier,
        startPosition: backup.stopPosition,
        endPosition: end,
      });

    /** The highest number in the ledger, after a look that none is missing below. */
    async function recover(
      target: RecoveryTarget,
      log: LogSource | null = archive(),
      newestTimeline = 1,
    ) {
      const homeDir = join(scene.folder, `home-${version}`);
      try {
        const started = await scene.driver.startRestored({
          ...{ source: sink.toSource(backup), homeDir, port: 0 },
          recovery: { target, log, newestTimeline, skippedTransactions: [] },
          login: { connection: scene.driver.parseUrl(server.url), rolePassword: 'ensure' },
          onProgress: () => undefined,
          ...{ signal: neverAborted, log: silentLogger },
        });
        const [row] = await runSql(started.connection, (query) =>
          query(`select max(id)::int as last, count(*)::int as rows,
            current_setting('restore_command') as command from ledger`),
        );
        assert.equal(row?.last, row?.rows, 'a commit is missing in between');
        assert.equal(row?.command, '');
        assert.ok(!existsSync(join(homeDir, 'wal-spool')));
        return { last: row?.last, report: started.recovered };
      } finally {
        const server = { homeDir, dataDir: join(homeDir, 'data'), binDir: '' };
        await scene.driver.stopManaged(server, neverAborted);
        await rm(homeDir, { recursive: true, force: true });
      }
    }

    test('to a moment: every commit up to it and none behind', async () => {
      const { atMicros } = commitOf(30);
      const at = new Date(Number(atMicros / 1000n) + 1);
      const expected = commits.filter((one) => one.atMicros <= BigInt(at.getTime()) * 1000n);
      const { last, report } = await recover(targetTime(at));
      assert.equal(last, expected.length);
      assert.equal(report?.timeline, 2);
      const lastAt = commitOf(expected.length).atMicros;
      assert.equal(report?.lastCommitAt?.getTime(), Number(lastAt / 1000n));
    });
    test('to a moment behind the last commit, that the log covers: all of it', async () => {
      const at = new Date(Number(commitOf(70).atMicros / 1000n) + 60_000);
      const { last, report } = await recover(targetTime(at));
      assert.equal(last, 70);
      assert.ok(report?.position.engine === 'postgresql');
      assert.ok(end.engine === 'postgresql' && report.position.lsn <= end.lsn);
    });
    test('to a place in the log, without what begins there', async () => {
      const { lsn: position } = commitOf(33);
      const target = {
        kind: 'log-position',
        position,
        timeline: null,
        isInclusive: false,
      } as const;
      assert.equal((await recover(target)).last, 33);
    });
    test('to the very end of the log, behind which no record begins', async () => {
      assert.ok(end.engine === 'postgresql');
      const target = { kind: 'log-position', position: formatLsn(end.lsn), ...anywhere } as const;
      assert.equal((await recover(target)).last, 70);
    });
    test('to a transaction, with it and without it', async () => {
      const { xid } = commitOf(51);
      const target = { kind: 'xid', xid, backupId, timeline: null } as const;
      assert.equal((await recover({ ...target, isInclusive: true })).last, 51);
      assert.equal((await recover({ ...target, isInclusive: false })).last, 50);
    });
    test('to a restore point', async () => {
      const named = { kind: 'name', backupId, timeline: null } as const;
      assert.equal((await recover({ ...named, name: 'before the change' })).last, 45);
      const missing = { ...named, name: 'never set' };
      await assert.rejects(recover(missing), /restore point never set is not in the log/);
    });
    test('to the latest, and not further than the plan goes', async () => {
      assert.equal((await recover({ kind: 'latest', timeline: null })).last, 70);
      const { lsn } = commitOf(47);
      const log = { ...archive(), endPosition: placeOf(lsn) };
      const { last } = await recover({ kind: 'latest', timeline: null }, log);
      assert.equal(last, 47);
    });
    test('to the end of the backup, on a branch whose number nobody has', async () => {
      const { last, report } = await recover({ kind: 'end-of-backup', backupId }, null, 4);
      assert.equal(last, 5);
      assert.equal(report?.timeline, 5);
    });

    test('a file that cannot be read ends the recovery, and no server takes queries', async () => {
      const names: string[] = [];
      const log: LogSource = {
        ...archive(),
        async readFile(name, signal) {
          names.push(name);
          if (names.length < 3) return await archive().readFile(name, signal);
          throw new CairnError('storage-unavailable', 'the storage is away');
        },
      };
      await assertNoServer({ kind: 'latest', timeline: null }, log, 'storage-unavailable');
    });
    test('a planned file that is missing or short ends the recovery', async () => {
      for (const read of [
        () => Promise.reject(new CairnError('not-found', 'nothing is stored')),
        async () => ({ bytes: Buffer.alloc(1000), isComplete: false }),
      ]) {
        const log: LogSource = {
          ...archive(),
          readFile: (name, signal) => {
            const isSecond = name.endsWith(segmentBehind(backup.stopPosition));
            return isSecond ? read() : archive().readFile(name, signal);
          },
        };
        await assertNoServer({ kind: 'latest', timeline: null }, log, 'log-gap');
      }
    });
    test('log of another server is refused before the server starts', async () => {
      const log = { ...archive(), systemIdentifier: '7000000000000000000' };
      await assertNoServer({ kind: 'latest', timeline: null }, log, 'log-gap');
    });

    async function assertNoServer(
      target: RecoveryTarget,
      log: LogSource,
      kind: CairnError['kind'],
    ): Promise<void> {
      const homeDir = join(scene.folder, `lost-${version}`);
      const dataDir = join(homeDir, 'data');
      try {
        const work = scene.driver.prepareRestored({
          ...{ source: sink.toSource(backup), homeDir, signal: neverAborted, log: silentLogger },
          recovery: { target, log, newestTimeline: 1, skippedTransactions: [] },
          onProgress: () => undefined,
        });
        await assert.rejects(work, (error) => error instanceof CairnError && error.kind === kind);
        assert.equal(await findPostmaster(dataDir), null);
        const names = await readdir(join(dataDir, 'pg_wal'));
        assert.deepEqual(
          names.filter((name) => name.startsWith('00000002')),
          [],
          'it was promoted',
        );
        const isReady = await scene.driver.canStartManaged({ homeDir, dataDir, binDir: '' });
        assert.equal(isReady, false);
      } finally {
        await rm(homeDir, { recursive: true, force: true });
      }
    }
  });
}

function placeOf(lsn: string): LogPosition {
  const [high, low] = lsn.split('/').map((half) => BigInt(`0x${half}`));
  return { engine: 'postgresql', timeline: 1, lsn: ((high ?? 0n) << 32n) | (low ?? 0n) };
}

/** The end of the name of the segment after the one in which the position lies (16 MiB each). */
function segmentBehind(position: LogPosition): string {
  assert.ok(position.engine === 'postgresql');
  return ((position.lsn >> 24n) + 1n).toString(16).toUpperCase().padStart(8, '0');
}
