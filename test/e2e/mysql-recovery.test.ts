// Recovery of MariaDB with the log read from the server's own folder: what people restore for, and
// what must not be taken for a success.
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { LogSource, Recovery } from '../../src/engines/engine.ts';
import type { BinlogPosition } from '../../src/engines/mysql/binlog-scan.ts';
import type { Query } from '../../src/engines/mysql/connection.ts';
import { withQueries } from '../../src/engines/mysql/connection.ts';
import { createMysqlDriver } from '../../src/engines/mysql/driver.ts';
import { planLog } from '../../src/engines/mysql/replay-log.ts';
import type { MysqlTools } from '../../src/engines/mysql/server-binaries.ts';
import type { ErrorKind } from '../../src/model/errors.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { createFolderSink } from '../fixtures/file-source.ts';
import type { LedgerCommit, LogRange } from '../fixtures/mariadb-ledger.ts';
import {
  createLedger,
  endOfLog,
  folderLog,
  listLogs,
  readLedger,
  writeLedger,
} from '../fixtures/mariadb-ledger.ts';
import type { ReplayScene } from '../fixtures/mariadb-replay.ts';
import { openReplayScene } from '../fixtures/mariadb-replay.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { follow, MemoryBinlogs } from '../fixtures/memory-binlogs.ts';

const latest: RecoveryTarget = { kind: 'latest', timeline: null };
const signal = AbortSignal.timeout(240_000);

suite('a recovery of MariaDB', { timeout: 240_000 }, () => {
  let server: MariadbServer;
  let scene: ReplayScene;
  let end: BinlogPosition;
  let commits: readonly LedgerCommit[] = [];
  /** The mistake: rows that are deleted, and a table that is dropped. */
  const bad = { deleted: '', dropped: '' };

  before(async () => {
    server = await startMariadb({ settings: { 'innodb-log-file-size': '8M' } });
    await createLedger(server);
    await writeLedger(server, { from: 1, to: 10 });
    scene = await openReplayScene(server);
    commits = await writeLedger(server, { from: 11, to: 30 });
    await server.query('flush binary logs');
    await server.session(writeOddities);
    await server.query('flush binary logs');
    await server.session(async (query) => {
      await query('delete from books.ledger where id <= 20');
      bad.deleted = await lastGtid(query);
      await query('drop table books.ledger_aria');
      bad.dropped = await lastGtid(query);
      await query("create user clerk@localhost identified by 'pen-and-paper'");
    });
    await writeLedger(server, { from: 41, to: 50 });
    end = await server.session(endOfLog);
  });
  after(async () => {
    await scene[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const recoverTo = (target: RecoveryTarget, range: Partial<LogRange> = {}): Recovery => ({
    ...{ target, skippedTransactions: [], newestTimeline: 1 },
    log: folderLog(server, { startPosition: scene.backupEnd, endPosition: end, ...range }),
  });

  test('ends just before the statement that did the harm, and shows it', async () => {
    const target = { kind: 'gtid', gtid: bad.deleted, isInclusive: false } as const;
    const { report, found } = await scene.replay(recoverTo(target), readLedger);
    assert.deepEqual(found, [...numbers(1, 30), 31, 32, 33, 34]);
    assert.deepEqual(report?.transaction, {
      id: bad.deleted,
      statement: 'delete from books.ledger where id <= 20',
      isReplayed: false,
    });
    const [last] = commits.slice(-1);
    assert.ok(last && report.lastCommitAt && report.lastCommitAt <= new Date());
  });

  test('leaves the statements out that did the harm, and keeps what came later', async () => {
    const recovery = { ...recoverTo(latest), skippedTransactions: [bad.deleted, bad.dropped] };
    const { report, found } = await scene.replay(recovery, async (query) => ({
      ids: await readLedger(query),
      oddities: await readOddities(query),
    }));
    assert.deepEqual(found.ids, [...numbers(1, 30), 31, 32, 33, 34, ...numbers(41, 50)]);
    assert.deepEqual(found.oddities, await server.session(readOddities));
    assert.equal(report?.transaction?.isReplayed, true);
    assert.deepEqual(report.position, { ...end });
  });

  suite('is refused before anything is executed', () => {
    const refusals: readonly [string, () => Recovery, ErrorKind, RegExp][] = [
      [
        'where a file in the middle is missing',
        () => recoverTo(latest, { isStored: (name) => name !== middleName }),
        'log-gap',
        /between binary logs bin\.000001 and bin\.000003 one is missing/,
      ],
      [
        'where the first file is missing',
        () => recoverTo(latest, { isStored: (name) => name !== 'bin.000001' }),
        'log-gap',
        /bin\.000001 is not stored/,
      ],
      [
        'where the last file is missing',
        () => recoverTo(latest, { isStored: (name) => name !== end.file }),
        'log-gap',
        /is not stored/,
      ],
      [
        'where one file stands in for another',
        () =>
          recoverTo(latest, {
            contentOf: (name, bytes) => (name === middleName ? firstBytes : bytes),
          }),
        'log-gap',
        /bin\.000002/,
      ],
      [
        'where a bit has flipped',
        () =>
          recoverTo(latest, {
            contentOf: (name, bytes) => (name === middleName ? flipped(bytes) : bytes),
          }),
        'repository-damaged',
        /bin\.000002 is damaged/,
      ],
      [
        'where less is stored than was known of',
        () => recoverTo(latest, { endPosition: { ...end, offsetBytes: end.offsetBytes + 100 } }),
        'log-gap',
        /whole events are stored up to/,
      ],
      [
        'where the target is behind the log',
        () => recoverTo({ kind: 'gtid', gtid: '0-11-999999', isInclusive: true }),
        'invalid',
        /0-11-999999 is not in the log/,
      ],
    ];
    const middleName = 'bin.000002';
    let firstBytes: Buffer = Buffer.alloc(0);
    before(async () => {
      assert.deepEqual(await listLogs(server), [
        'bin.000001',
        middleName,
        'bin.000003',
        'bin.000004',
      ]);
      firstBytes =
        (await recoverTo(latest).log?.readFile('bin.000001', signal))?.bytes ?? firstBytes;
    });
    for (const [name, recovery, kind, text] of refusals) {
      test(
        name,
        async () =>
          await assert.rejects(
            planLog(recovery(), { flavor: 'mariadb', tools: scene.tools, signal }),
            refuses(kind, text),
          ),
      );
    }
  });

  suite('fails', () => {
    const look = async (): Promise<never> => assert.fail('it has succeeded');

    test('where the log does not fit the backup, and says so', async () => {
      const early = await findStartOf(server, '0-11-14');
      const startPosition = { ...scene.backupEnd, offsetBytes: early, gtidSet: null };
      const replay = scene.replay(recoverTo(latest, { startPosition }), look);
      await assert.rejects(replay, refuses('engine-refused', /ERROR 1062 .*Duplicate entry/));
    });

    const tools: readonly [string, keyof MysqlTools, string, RegExp][] = [
      [
        'where the reader of the log ends early',
        'binlog',
        'head -c 3000 | mariadb-binlog --no-defaults - 2> /dev/null; exit 0',
        /ended before/,
      ],
      [
        'where it fails at the end',
        'binlog',
        'mariadb-binlog "$@"; exit 3',
        /could not read the log/,
      ],
      ['where the client ends early', 'client', 'head -c 2000 > /dev/null; exit 0', /ended before/],
      [
        'where the client fails at the end',
        'client',
        'mariadb "$@"; exit 4',
        /replaying the log failed/,
      ],
    ];
    for (const [name, tool, script, text] of tools) {
      test(name, async () => {
        const path = join(scene.folder, `${tool}.sh`);
        await writeFile(path, `#!/bin/sh\n${script}\n`);
        await chmod(path, 0o755);
        const replay = scene.replay(recoverTo(latest), look, { replaced: { [tool]: path } });
        await assert.rejects(replay, refuses('engine-refused', text));
      });
    }

    test('where the storage fails while it is replayed', async () => {
      let reads = 0;
      const contentOf = (name: string, bytes: Buffer): Buffer => {
        if (name === 'bin.000003' && ++reads === 2) {
          throw new CairnError('storage-unavailable', 'the storage is gone');
        }
        return bytes;
      };
      const replay = scene.replay(recoverTo(latest, { contentOf }), look);
      await assert.rejects(replay, refuses('storage-unavailable', /is gone/));
    });

    test('at once when it is cancelled', async () => {
      const cancel = new AbortController();
      const reason = new CairnError('cancelled', 'enough');
      const replay = scene.replay(recoverTo(latest), look, {
        signal: cancel.signal,
        onProgress: () => cancel.abort(reason),
      });
      await assert.rejects(replay, refuses('cancelled', /enough/));
    });
  });

  test('goes the whole way: backup, archive and restore by the driver', async () => {
    const driver = createMysqlDriver({
      ...{ binDirs: [], serverUser: null, extraConfigFile: null },
      ...{ clock: systemClock, random: systemRandom },
    });
    const options = { signal, log: silentLogger, onProgress: () => undefined };
    const archive = new MemoryBinlogs();
    const following = follow(archive, server);
    await following.until('the archive has begun', () => archive.last);
    await chmod(server.homeDir, 0o755);
    const sink = createFolderSink(join(scene.folder, 'driver-backup'));
    const result = await driver.takeBaseBackup(server.connection, {
      ...{ ...options, label: 'test', sink, previous: null },
    });
    const written = await writeLedger(server, { from: 61, to: 70 });
    await server.query('flush binary logs');
    await server.query('drop table books.ledger');
    const dropped = await readLastGtid(server);
    await following.until('all is archived', () => {
      const set = archive.marks.at(-1)?.position;
      return set?.engine === 'mysql' && set.gtidSet === dropped;
    });
    await following.stop();
    const target = { kind: 'gtid', gtid: dropped, isInclusive: false } as const;
    const log = memoryLogSource(archive, result.stopPosition);
    const homeDir = join(scene.folder, 'driver-home');
    const recovery = { target, skippedTransactions: [], newestTimeline: 1, log };
    const started = await driver.startRestored({
      ...{ ...options, source: sink.toSource(result), homeDir, recovery, port: 0 },
      login: { connection: server.connection, rolePassword: 'ensure' },
    });
    try {
      const query = 'select id from books.ledger where id > 40 order by id';
      const rows = await withQueries(started.connection, { signal }, (ask) => ask(query));
      const wanted = [...numbers(41, 50), ...written.map(({ id }) => id)];
      assert.deepEqual(
        rows.map(({ id }) => Number(id)),
        wanted,
      );
      assert.equal(
        started.recovered?.transaction?.statement,
        'DROP TABLE `books`.`ledger` /* generated by server */',
      );
    } finally {
      await driver.stopManaged(started.managed, signal);
    }
  });
});

/** What is hard to replay: everything that a session knows, or that servers write in other ways. */
async function writeOddities(query: Query): Promise<void> {
  const statements = [
    "xa start 'a'",
    "insert into books.ledger values (31, 'two phases')",
    "xa end 'a'",
    "xa prepare 'a'",
    "xa commit 'a'",
    'create procedure books.note() begin /* a comment */ select 1; end',
    "set session binlog_format = 'STATEMENT', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    `create temporary table books.passing (id int)`,
    'insert into books.passing values (32)',
    // The session goes on in another file.
    'flush binary logs',
    `insert into books."ledger" select id, 'a\\' from books.passing`,
    'drop temporary table books.passing',
    "set session binlog_format = 'ROW', sql_mode = ''",
    'set global log_bin_compress = 1',
    "insert into books.ledger values (33, repeat('y', 100000))",
    `create table books.wide (id int comment '${'z'.repeat(900)}') engine=InnoDB`,
    'set global log_bin_compress = 0',
    "insert into books.ledger values (34, unhex('00FF0A0D5C27221A'))",
    'optimize table books.wide',
  ];
  for (const statement of statements) await query(statement);
}

async function readOddities(query: Query): Promise<unknown> {
  return [
    await query('select id, md5(body) as sum from books.ledger where id between 31 and 34'),
    await query(
      "select routine_definition from information_schema.routines where routine_schema = 'books'",
    ),
    await query("select column_comment from information_schema.columns where table_name = 'wide'"),
    await query('xa recover'),
  ];
}

async function lastGtid(query: Query): Promise<string> {
  const [row] = await query('select @@last_gtid as gtid');
  return String(row?.['gtid']);
}

/** Of a transaction in the first file. */
async function findStartOf(server: MariadbServer, gtid: string): Promise<number> {
  const rows = await server.query("show binlog events in 'bin.000001'");
  const row = rows.find(({ Info }) => String(Info).includes(`GTID ${gtid}`));
  assert.ok(row, `${gtid} is not there`);
  return Number(row['Pos']);
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = Math.floor(copy.length / 2);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function refuses(kind: ErrorKind, text: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof CairnError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  };
}

async function readLastGtid(server: MariadbServer): Promise<string> {
  const [row] = await server.query('select @@gtid_binlog_pos as gtid');
  return String(row?.['gtid']);
}

function memoryLogSource(archive: MemoryBinlogs, startPosition: LogPosition): LogSource {
  const endPosition = archive.marks.at(-1)?.position;
  assert.ok(endPosition);
  return {
    ...{ systemIdentifier: archive.facts?.systemIdentifier ?? '', startPosition, endPosition },
    listFiles: async () =>
      [...archive.files.values()].map(({ meta, lengthBytes, isComplete }) => {
        const { name, startPosition: start } = meta;
        return { name, startPosition: start, sizeBytes: lengthBytes, isComplete };
      }),
    readFile: async (name) => ({ bytes: archive.bytesOf(name), isComplete: true }),
    async *streamFile(name) {
      yield archive.bytesOf(name);
    },
  };
}
