// mariadb-backup as people run it: a full backup by stream through zstd, then an incremental of the
// full one; restored from the full one with mbstream, prepare and a server on the folder.
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { MariadbServer } from '../../test/fixtures/mariadb-server.ts';
import type { Measured } from './tool.ts';
import { folderBytes, measureLine } from './tool.ts';

export async function mariadbBackup(server: MariadbServer, home: string) {
  const identity = await findServerIdentity(null);
  const folder = join(home, 'mariadb-backup');
  await mkdir(folder);
  if (identity) await chown(folder, identity.uid, identity.gid);
  const env = { MYSQL_PWD: server.password };
  const login = `--user=root --socket=${server.socketPath} --datadir=${server.dataDir}`;
  const tool = `mariadb-backup --no-defaults --backup --stream=xbstream ${login}`;
  const run = (line: string): Measured => measureLine(line, { identity, env });
  const quiet = '2>/dev/null';
  let count = 0;
  return {
    name: 'mariadb-backup, zstd -1 -T2',
    backUp: async () => {
      const name = join(folder, `backup-${count}`);
      const base = count++ === 0 ? '' : `--incremental-basedir=${folder}/lsn-0`;
      const kept = `--extra-lsndir=${folder}/lsn-${count - 1}`;
      return run(`${tool} ${base} ${kept} ${quiet} | zstd -q -1 -T2 -o ${name}.zst`);
    },
    storedBytes: () => folderBytes(folder),
    /** The full backup: the least that has to be done. */
    restore: async (homeDir: string) => {
      await mkdir(homeDir);
      if (identity) await chown(homeDir, identity.uid, identity.gid);
      const data = join(homeDir, 'data');
      const socket = join(homeDir, 'socket');
      const serve =
        `/usr/sbin/mariadbd --no-defaults --datadir=${data} --socket=${socket} ` +
        `--skip-networking --pid-file=${homeDir}/pid`;
      const ask = `mariadb --no-defaults -uroot -S ${socket} -e 'select 1'`;
      const measured = run(
        [
          `mkdir -m 700 ${data}`,
          `zstd -dc ${folder}/backup-0.zst | mbstream -x -C ${data}`,
          `mariadb-backup --no-defaults --prepare --target-dir=${data} ${quiet}`,
          'sync',
          `(${serve} >/dev/null ${quiet} &)`,
          `until ${ask} >/dev/null ${quiet}; do sleep 0.1; done`,
        ].join('; '),
      );
      run(`mariadb-admin --no-defaults -uroot -S ${socket} shutdown`);
      return measured;
    },
  };
}
