// Everything that can end a physical backup midway: there is no backup then, and nothing is left of
// the program, not even a lock.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { noLogPosition } from '../../src/engines/mysql/log-position.ts';
import { CairnError, isErrorKind } from '../../src/model/errors.ts';
import type { Connection } from '../../src/model/instance.ts';
import { formatLogPosition, parseLogPosition } from '../../src/model/log-position.ts';
import { Secret } from '../../src/model/secret.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { PhysicalScene, TakeOptions } from '../fixtures/mariadb-physical.ts';
import { backupProgram, createPhysicalScene } from '../fixtures/mariadb-physical.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { createMemorySink } from '../fixtures/memory-sink.ts';
import { findProcesses } from '../fixtures/processes.ts';
import { until } from '../fixtures/until.ts';

suite('what ends a physical backup of MariaDB', { timeout: 300_000 }, () => {
  let scene: PhysicalScene;
  let server: MariadbServer;
  const isRefused = (pattern: RegExp) => (error: CairnError) =>
    error.kind === 'engine-refused' && pattern.test(`${error.message} (${error.hint})`);
  const isAway = (pattern: RegExp) => (error: CairnError) =>
    error.kind === 'engine-unreachable' && pattern.test(`${error.message} (${error.hint})`);
  const toolProcesses = async () => {
    const found = await findProcesses(`--datadir=${server.dataDir}`);
    return found.filter(({ args }) => args.includes('--backup'));
  };
  let slowProgram: string;

  before(async () => {
    scene = await createPhysicalScene();
    server = scene.server;
    slowProgram = await scene.writeScript('slow', [`exec ${backupProgram} "$@" --throttle=4`]);
  });
  after(() => scene[Symbol.asyncDispose]());

  /** Does something to the program while it copies. */
  async function disturb(
    disturbance: (pid: number) => unknown,
    options: Omit<TakeOptions, 'program'> = {},
  ): Promise<void> {
    let hasBegun = false;
    const onProgress = (doneBytes: number): void => {
      hasBegun ||= doneBytes > 0;
    };
    const backup = scene.take({ ...options, onProgress, program: slowProgram });
    backup.catch(() => undefined);
    await until('it copies', () => hasBegun);
    const [tool] = await toolProcesses();
    assert.ok(tool);
    await disturbance(tool.pid);
    await backup;
  }

  /** No process, no session, and no lock of the program are left. */
  async function assertNothingLeft(): Promise<void> {
    assert.deepEqual(await toolProcesses(), []);
    await server.session(async (query) => {
      await query('set lock_wait_timeout = 5');
      await query('create table busy.still_possible (id int)');
      await query('drop table busy.still_possible');
    });
  }

  test('it is killed', async () => {
    const sink = createMemorySink();
    await assert.rejects(
      disturb((pid) => process.kill(pid, 'SIGKILL'), { sink }),
      isAway(/was killed before/),
    );
    assert.ok(sink.contents().size > 0, 'it had not begun');
    await assertNothingLeft();
  });

  test('the server ends its connections', async () => {
    const endAll = async (): Promise<void> => {
      const rows = await server.query(
        `select id from information_schema.processlist
         where id <> connection_id() and command <> 'Daemon'`,
      );
      for (const { id } of rows) await server.query(`kill ${String(id)}`).catch(() => undefined);
    };
    await assert.rejects(disturb(endAll), (error: CairnError) => {
      return isErrorKind(error, 'engine-unreachable') && /slow failed/.test(error.message);
    });
    await assertNothingLeft();
  });

  test('it is cancelled, though the program ignores SIGTERM', async () => {
    const cancel = new AbortController();
    const reason = new CairnError('cancelled', 'the job was cancelled');
    await assert.rejects(
      disturb(
        (pid) => {
          process.kill(pid, 'SIGTERM');
          cancel.abort(reason);
        },
        { signal: cancel.signal },
      ),
      reason,
    );
    await assertNothingLeft();
  });

  test('it is cancelled while it waits for a lock, at once', async () => {
    const cancel = new AbortController();
    const reason = new CairnError('cancelled', 'the job was cancelled');
    await server.session(async (query) => {
      await query('lock tables busy.still_innodb write');
      const backup = scene.take({ signal: cancel.signal });
      backup.catch(() => undefined);
      await until('it waits', async () => {
        const rows = await server.query('show processlist');
        return rows.some(({ Info }) => Info === 'BACKUP STAGE START');
      });
      const cancelledMs = performance.now();
      cancel.abort(reason);
      await assert.rejects(backup, reason);
      // Longer it takes to kill what does not end.
      assert.ok(performance.now() - cancelledMs < 9000);
      await query('unlock tables');
    });
    await assertNothingLeft();
  });

  test('another session keeps a table locked', async () => {
    const program = await scene.writeScript('hasty', [
      `exec ${backupProgram} "$@" --startup-wait-timeout=1`,
    ]);
    await server.session(async (query) => {
      await query('lock tables busy.still_innodb write');
      await assert.rejects(scene.take({ program }), isRefused(/Lock wait.*process list/));
    });
  });

  test('the storage is full', async () => {
    const full = new CairnError('storage-full', 'the storage is full');
    const sink = createMemorySink(async () => {
      throw full;
    });
    await assert.rejects(scene.take({ sink }), full);
    await assertNothingLeft();
  });

  test('it is silent for too long, and what it has started ends with it', async () => {
    const program = await scene.writeScript('silent', ['sleep 61.25', 'echo never']);
    await assert.rejects(scene.take({ program, silenceMs: 300 }), isAway(/did nothing for/));
    assert.deepEqual(await findProcesses('61.25'), []);
  });

  test('it is not silent while it is kept waiting', async () => {
    let isFirst = true;
    const sink = createMemorySink(async () => {
      if (isFirst) await systemClock.sleep(3500);
      isFirst = false;
    });
    await scene.take({ sink, silenceMs: 3000 });
  });

  test('the account lacks a right: it is not begun where only the end would show it', async () => {
    const make = async (rights: string): Promise<Connection> => {
      await server.query(`create or replace user poor identified by 'poor-secret'`);
      await server.query(`grant ${rights} on *.* to poor`);
      return { ...server.connection, user: 'poor', password: new Secret('poor-secret') };
    };
    const program = await scene.writeScript('never', ['echo it was begun >&2', 'exit 1']);
    const connection = await make('reload, process');
    await assert.rejects(scene.take({ connection, program }), isRefused(/BINLOG MONITOR/));
    const second = await make('binlog monitor');
    await assert.rejects(scene.take({ connection: second }), isRefused(/GRANT RELOAD, PROCESS/));
    await scene.take({ connection: await make('reload, process, binlog monitor') });
  });

  test('its password is wrong, and appears nowhere', async () => {
    const program = await scene.writeScript('wrong', [
      `MYSQL_PWD=wrong exec ${backupProgram} "$@"`,
    ]);
    await assert.rejects(scene.take({ program }), isRefused(/Access denied.*check the password/));
    const listing = await scene.writeScript('listing', ['echo "fatal: $@" >&2', 'exit 1']);
    await assert.rejects(scene.take({ program: listing }), (error: CairnError) => {
      return /--user=root/.test(error.message) && !error.message.includes(server.password);
    });
  });

  // All of these end with exit code 0.
  test('it says nothing of success, or its stream is not whole', async () => {
    const quiet = await scene.writeScript('quiet', [`${backupProgram} "$@" 2> /dev/null`]);
    await assert.rejects(scene.take({ program: quiet }), isRefused(/without “completed OK!”/));
    await scene.take({ program: await scene.writeTee('stream') });
    const stream = await readFile(join(scene.folder, 'stream'));
    const ends = {
      // Its last file is that with the information.
      'xtrabackup_info has no end': stream.length - 14 - 'xtrabackup_info'.length,
      'cut off': stream.length - 1,
      'is missing': 0,
    };
    for (const [text, length] of Object.entries(ends)) {
      await writeFile(join(scene.folder, 'cut'), stream.subarray(0, length));
      const cut = await scene.writeScript('cut-it', [
        `cat ${join(scene.folder, 'cut')}`,
        'echo "[00] 2026-01-01 00:00:00 completed OK!" >&2',
      ]);
      await assert.rejects(scene.take({ program: cut }), isRefused(new RegExp(text)));
    }
  });

  test('the log that came is not that of the server', async () => {
    const stream = await readFile(join(scene.folder, 'stream'));
    await using other = await startMariadb({ settings: { 'skip-log-bin': '1' } });
    const result = await scene.take({ connection: other.connection });
    assert.deepEqual(result.stopPosition, noLogPosition);
    assert.deepEqual(parseLogPosition(formatLogPosition(result.stopPosition)), noLogPosition);
    assert.equal(result.notes['hasBinaryLog'], false);
    await writeFile(join(scene.folder, 'cut'), stream);
    const foreign = await scene.writeScript('foreign', [
      `cat ${join(scene.folder, 'cut')}`,
      'echo "completed OK!" >&2',
    ]);
    await assert.rejects(
      scene.take({ connection: other.connection, program: foreign }),
      isRefused(/is of another server/),
    );
  });
});
