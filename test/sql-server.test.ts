// The engine's own statements, sent through a session to the small SQL Server of the tests: what
// they read, write and are refused. It is no SQL Server; it keeps what comes after it honest.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { sampleOrder, tsqlSamples } from '../scripts/tsql-samples.ts';
import { parseBackupRow } from '../src/engines/sqlserver/backup-record.ts';
import type { BackupKind } from '../src/engines/sqlserver/backup-rules.ts';
import { parseConnectionUrl } from '../src/engines/sqlserver/connection-url.ts';
import type { BackupDevices } from '../src/engines/sqlserver/devices.ts';
import type { SqlRow, SqlSession } from '../src/engines/sqlserver/session.ts';
import { openSession } from '../src/engines/sqlserver/session.ts';
import type { SqlStatement } from '../src/engines/sqlserver/statement.ts';
import { backupStatement } from '../src/engines/sqlserver/tsql-backup.ts';
import { checkDatabaseStatement } from '../src/engines/sqlserver/tsql-database.ts';
import { backupByDeviceStatement } from '../src/engines/sqlserver/tsql-history.ts';
import { mediaStatement, verifyStatement } from '../src/engines/sqlserver/tsql-media.ts';
import type { RestoreStep, StopPoint } from '../src/engines/sqlserver/tsql-restore.ts';
import { recoverStatement, restoreStatement } from '../src/engines/sqlserver/tsql-restore.ts';
import { isErrorKind } from '../src/model/errors.ts';
import { sqlError } from './fixtures/tds/sql-messages.ts';
import type { SqlServer } from './fixtures/tds/sql-server.ts';
import { startSqlServer } from './fixtures/tds/sql-server.ts';
import { findDatabase } from './fixtures/tds/sql-world.ts';

const share = '\\\\files\\cairn';
const firstSecond = Date.UTC(2026, 10, 24, 20, 0, 0);

let folder: string;
let server: SqlServer;
let session: SqlSession;
let seconds: number;
const signal = AbortSignal.timeout(120_000);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cairn-sql-server-'));
  seconds = 0;
  server = await startSqlServer({
    users: new Map([['backup', 'pw']]),
    folderHere: folder,
    folderOnServer: share,
    databases: {
      shop: { pageCount: 200, recoveryModel: 'FULL' },
      stock: { pageCount: 10, recoveryModel: 'SIMPLE' },
    },
    offsetMinutes: 60,
    now: () => new Date(firstSecond + 1000 * seconds),
  });
  session = await open();
});

afterEach(async () => {
  await session[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function open(): Promise<SqlSession> {
  const url = `sqlserver://backup:pw@localhost:${server.port}/?encrypt=false`;
  return await openSession(parseConnectionUrl(url), { signal });
}

async function run(statement: SqlStatement): Promise<readonly SqlRow[]> {
  return await session.run(statement, { signal });
}

function devicesOf(...names: readonly string[]): BackupDevices {
  return { kind: 'disk', platform: 'windows', paths: names.map((name) => `${share}\\${name}`) };
}

function backup(kind: BackupKind, devices: BackupDevices, database = 'shop'): SqlStatement {
  const traits = { ...sampleOrder.database, name: database };
  return backupStatement({ ...sampleOrder, kind, devices, database: traits });
}

function restore(
  kind: RestoreStep['kind'],
  devices: BackupDevices,
  options: Partial<Pick<RestoreStep, 'database' | 'stop' | 'moves'>> = {},
): SqlStatement {
  const { database = 'copy', stop = null } = options;
  const moves = options.moves ?? [
    { logicalName: 'shop', path: `D:\\data\\${database}.mdf` },
    { logicalName: 'shop_log', path: `D:\\data\\${database}_log.ldf` },
  ];
  return restoreStatement({
    ...{ kind, database, devices, stop, replace: 'never' },
    ...{ platform: 'windows', standbyPath: null, moves: kind === 'full' ? moves : [] },
  });
}

/** One transaction a second. */
function write(...pages: readonly number[]): string {
  const shop = findDatabase(server.world, 'shop');
  for (const page of pages) {
    seconds++;
    shop.write(page, server.world.now());
  }
  return shop.digest();
}

const digestOf = (name: string): string => findDatabase(server.world, name).digest();

async function refusedWith(statement: SqlStatement, number: number): Promise<Error> {
  const error = await run(statement).then(
    () => assert.fail(`${statement.name} was not refused`),
    (reason) => reason,
  );
  assert.equal(error.details?.number, number, error.message);
  return error;
}

describe('the small SQL Server', () => {
  it('answers every statement that reads', async () => {
    const reading = tsqlSamples().filter(({ statement: { text } }) => /^SELECT/.test(String(text)));
    assert.ok(reading.length > 10);
    await run(backup('full', devicesOf('a.bak')));
    const counts = new Map<string, number>();
    for (const { statement } of reading) {
      counts.set(statement.name, (await run(statement)).length);
    }
    const databases = ['master', 'model', 'msdb', 'shop', 'stock'];
    assert.equal(counts.get('read-server'), 1);
    assert.equal(counts.get('read-server-rights'), 1);
    assert.equal(counts.get('list-databases'), databases.length);
    assert.equal(counts.get('read-database-rights'), databases.length);
    assert.equal(counts.get('list-database-files'), 2 * databases.length);
  });

  it('writes backups that msdb tells of, and restores what they hold', async () => {
    write(1, 2, 3);
    await run(backup('full', devicesOf('full-1.bak', 'full-2.bak')));
    write(1, 7);
    await run(backup('differential', devicesOf('diff.bak')));
    write(8);
    await run(backup('log', devicesOf('log-1.trn')));
    const expected = write(9, 1);
    await run(backup('log', devicesOf('log-2.trn')));
    write(10);

    const records = [];
    for (const name of ['full-1.bak', 'diff.bak', 'log-1.trn', 'log-2.trn']) {
      const [row] = await run(backupByDeviceStatement('shop', `${share}\\${name}`));
      records.push(parseBackupRow(row ?? {}));
    }
    const [full, diff, log1, log2] = records;
    assert.deepEqual(
      records.map(({ type }) => type),
      ['full', 'differential', 'log', 'log'],
    );
    assert.equal(diff?.differentialBaseId, full?.id);
    assert.equal(log2?.firstLsn, log1?.lastLsn);
    assert.ok((log1?.firstLsn ?? 0n) <= (full?.lastLsn ?? 0n));
    assert.ok(statSync(join(folder, 'full-2.bak')).size > 100 * 8192);
    assert.ok(statSync(join(folder, 'diff.bak')).size < 100 * 8192);

    await run(verifyStatement(devicesOf('full-2.bak', 'full-1.bak'), 'leave-history'));
    const [header] = await run(mediaStatement('header', devicesOf('full-1.bak', 'full-2.bak')));
    assert.equal(header?.['BackupSetGUID'], full?.id.toUpperCase());
    assert.equal(header?.['FirstLSN'], undefined, 'a rounded position');
    await run(restore('full', devicesOf('full-1.bak', 'full-2.bak')));
    await run(restore('differential', devicesOf('diff.bak')));
    await run(restore('log', devicesOf('log-1.trn')));
    await run(restore('log', devicesOf('log-2.trn')));
    await run(recoverStatement('copy'));
    assert.equal(digestOf('copy'), expected);
    assert.deepEqual(await run(checkDatabaseStatement('copy')), []);
  });

  it('stops at a time of its own clock, and at a position', async () => {
    await run(backup('full', devicesOf('full.bak')));
    const expected = write(1, 2);
    const at = server.world.now();
    write(3);
    const shop = findDatabase(server.world, 'shop');
    const lsn = BigInt(shop.log.at(-1)?.lsn ?? '0');
    await run(backup('log', devicesOf('log.trn')));
    const localTime = new Date(at.getTime() + 3_600_000).toISOString().slice(0, -1);
    const stops: StopPoint[] = [
      { kind: 'time', localTime },
      { kind: 'lsn', lsn, isInclusive: false },
    ];
    for (const [index, stop] of stops.entries()) {
      const database = `copy${index}`;
      await run(restore('full', devicesOf('full.bak'), { database }));
      await run(restore('log', devicesOf('log.trn'), { database, stop }));
      await run(recoverStatement(database));
      assert.equal(digestOf(database), expected);
    }
    assert.notEqual(digestOf('shop'), expected);
  });

  it('refuses backups as SQL Server does', async () => {
    const device = devicesOf('a.bak');
    await refusedWith(backup('log', device), 4214);
    await refusedWith(backup('differential', device), 3035);
    await refusedWith(backup('full', device, 'absent'), 911);
    await refusedWith(backup('full', devicesOf('absent\\a.bak')), 3201);
    server.world.denied.add('BACKUP DATABASE');
    await refusedWith(backup('full', device), 262);
    server.world.denied.clear();
    findDatabase(server.world, 'shop').recoveryModel = 'SIMPLE';
    await refusedWith(backup('log', device), 4208);
    findDatabase(server.world, 'shop').damagedPages.add(5);
    await refusedWith(backup('full', device), 3043);
    assert.ok(
      isErrorKind(await refusedWith(checkDatabaseStatement('shop'), 8928), 'engine-refused'),
    );
    assert.deepEqual(server.world.history, []);
  });

  it('refuses restores that would lose something, or that have a gap', async () => {
    const [full, later] = [devicesOf('full.bak'), devicesOf('later.bak')];
    await run(backup('full', full));
    write(1);
    await run(backup('log', devicesOf('log-1.trn')));
    write(2);
    await run(backup('log', devicesOf('log-2.trn')));
    await run(backup('full', later));
    await run(backup('differential', devicesOf('diff.bak')));
    await refusedWith(restore('full', full, { database: 'shop' }), 3159);
    await refusedWith(restore('full', full, { database: 'stock' }), 3154);
    await refusedWith(restore('log', devicesOf('log-1.trn')), 3118);
    await refusedWith(restore('full', full, { moves: [] }), 1834);
    await run(restore('full', full));
    await refusedWith(restore('differential', devicesOf('diff.bak')), 3136);
    const gap = await refusedWith(restore('log', devicesOf('log-2.trn')), 4305);
    assert.ok(isErrorKind(gap, 'log-gap'), gap.message);
    await run(restore('log', devicesOf('log-1.trn')));
    await run(restore('log', devicesOf('log-2.trn')));
    await run(recoverStatement('copy'));
    await refusedWith(restore('log', devicesOf('log-2.trn')), 3117);
    assert.equal(digestOf('copy'), digestOf('shop'));
  });

  it('finds files that are missing, damaged or no backup', async () => {
    const both = devicesOf('a.bak', 'b.bak');
    await run(backup('full', both));
    await refusedWith(restore('full', devicesOf('a.bak')), 3132);
    await refusedWith(restore('full', devicesOf('c.bak', 'b.bak')), 3201);
    const path = join(folder, 'b.bak');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0xff, bytes.length - 100));
    await refusedWith(verifyStatement(both, 'leave-history'), 3189);
    assert.ok(isErrorKind(await refusedWith(restore('full', both), 3183), 'repository-damaged'));
    writeFileSync(path, bytes.subarray(0, bytes.length - 8192));
    await refusedWith(verifyStatement(both, 'leave-history'), 3241);
    writeFileSync(path, 'no backup');
    await refusedWith(verifyStatement(both, 'leave-history'), 3242);
  });

  it('leaves half a file and no history when a backup ends early', async () => {
    const at = async (percent: number, what: () => void): Promise<void> => {
      server.world.onProgress = (step) => (step.percent >= percent ? what() : undefined);
    };
    await at(40, () => {
      throw sqlError(3202, `${share}\\a.bak`, '112(There is not enough space on the disk.)');
    });
    assert.ok(
      isErrorKind(await refusedWith(backup('full', devicesOf('a.bak')), 3202), 'storage-full'),
    );
    const controller = new AbortController();
    await at(40, () => controller.abort());
    const cancelled = session.run(backup('full', devicesOf('b.bak')), {
      signal: controller.signal,
    });
    await assert.rejects(cancelled, (error) => isErrorKind(error, 'cancelled'));
    await at(40, () => server.dropAll());
    const dropped = run(backup('full', devicesOf('c.bak')));
    await assert.rejects(dropped, (error) => isErrorKind(error, 'engine-unreachable'));
    assert.deepEqual(readdirSync(folder).toSorted(), ['a.bak', 'b.bak', 'c.bak']);
    assert.deepEqual(server.world.history, []);
    await at(101, () => undefined);
    session = await open();
    const told: number[] = [];
    await session.run(backup('full', devicesOf('a.bak')), {
      signal,
      onInfo: ({ number }) => told.push(number),
    });
    assert.deepEqual([told.filter((number) => number === 3211).length, told.at(-1)], [20, 3014]);
  });
});
