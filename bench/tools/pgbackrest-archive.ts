// pgBackRest (Debian's package) with its log archive: pushed and fetched asynchronously, zstd at
// its default level, two processes.

import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import { findFreePort } from '../../test/fixtures/postgres-server.ts';
import { until } from '../../test/fixtures/until.ts';
import { writePgbackrestConfig } from './pgbackrest-config.ts';
import { measureLine } from './tool.ts';

const archiveTimeoutMs = 30 * 60_000;

export type PgbackrestArchive = {
  /** For the server that it archives, before that one is started. */
  readonly archiveCommand: string;
  /** Backs the server up, which archives by now. */
  backUp(server: TestServer): Promise<void>;
  untilArchived(server: TestServer, segmentName: string): Promise<void>;
  /** To a server that takes queries, at the end of the log. Seconds: the files, and with replay. */
  recover(server: TestServer): Promise<{ restoredSeconds: number; wallSeconds: number }>;
};

export async function createPgbackrestArchive(home: string): Promise<PgbackrestArchive> {
  const identity = await findServerIdentity(null);
  const folder = join(home, 'pgbackrest');
  const config = join(folder, 'pgbackrest.conf');
  const give = async (path: string): Promise<void> => {
    await mkdir(path, { mode: 0o700 });
    if (identity) await chown(path, identity.uid, identity.gid);
  };
  for (const path of [folder, join(folder, 'repository'), join(folder, 'spool')]) await give(path);
  const program = `pgbackrest --config=${config} --stanza=bench`;

  return {
    archiveCommand: `${program} archive-push %p`,
    async backUp(server) {
      await writePgbackrestConfig(config, server, {
        'repo1-path': join(folder, 'repository'),
        'spool-path': join(folder, 'spool'),
        'lock-path': folder,
        'archive-async': 'y',
      });
      const env = { PGPASSWORD: server.password };
      measureLine(`${program} stanza-create; ${program} --type=full backup`, { identity, env });
    },
    async untilArchived(server, segmentName) {
      const look = async (): Promise<boolean> => {
        const [row] = await server.query('select last_archived_wal as name from pg_stat_archiver');
        return String(row?.['name'] ?? '') >= segmentName;
      };
      await until(`${segmentName} is archived`, look, archiveTimeoutMs);
    },
    async recover(server) {
      const dataDir = join(folder, 'restored');
      await give(dataDir);
      const control = `${server.binDir}/pg_ctl -D ${dataDir}`;
      const port = await findFreePort();
      // Not before the end of the log, and nothing of production's.
      const own = `-p ${port} -c unix_socket_directories=${folder} -c listen_addresses=`;
      const flags = `${own} -c hot_standby=off -c archive_mode=off`;
      const restore = `${program} --pg1-path=${dataDir} --type=default restore`;
      const { wallSeconds: restoredSeconds } = measureLine(restore, { identity });
      const ask = `${server.binDir}/psql -h ${folder} -p ${port} -U postgres -c 'select 1'`;
      // pg_ctl does not wait for the end of replay.
      const tries = `for i in $(seq 36000); do ${ask} 2>/dev/null && break; sleep 0.1; done`;
      const answer = `${tries}; ${ask}`;
      const start = `${control} start -w -t 3600 -l ${folder}/server.log -o '${flags}'`;
      const env = { PGPASSWORD: server.password };
      try {
        const { wallSeconds } = measureLine(`${start}; ${answer}`, { identity, env });
        return { restoredSeconds, wallSeconds: restoredSeconds + wallSeconds };
      } finally {
        measureLine(`${control} stop -m immediate; rm -rf ${dataDir}`, { identity });
      }
    },
  };
}
