// pgBackRest (Debian's package), zstd at its default level, two processes. No log archive: the
// comparison is of base backups.

import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import { writePgbackrestConfig } from './pgbackrest-config.ts';
import type { Tool } from './tool.ts';
import { folderBytes, measureLine } from './tool.ts';

export async function pgbackrest(server: TestServer, home: string): Promise<Tool> {
  const identity = await findServerIdentity(null);
  const folder = join(home, 'pgbackrest');
  const repository = join(folder, 'repository');
  const config = join(folder, 'pgbackrest.conf');
  for (const path of [folder, repository]) {
    await mkdir(path);
    if (identity) await chown(path, identity.uid, identity.gid);
  }
  await writePgbackrestConfig(config, server, {
    'repo1-path': repository,
    'archive-check': 'n',
    'archive-copy': 'n',
    'lock-path': folder,
    'spool-path': folder,
  });
  const options = { identity, env: { PGPASSWORD: server.password } };
  const run = (rest: string) =>
    measureLine(`pgbackrest --config=${config} --stanza=bench ${rest}`, options);
  run('--no-online stanza-create');
  let type = 'full';
  return {
    name: 'pgBackRest, zst, process-max=2',
    backUp: async () => {
      const measured = run(`--type=${type} backup`);
      type = 'incr';
      return measured;
    },
    storedBytes: () => folderBytes(repository),
    restore: async (targetDir) => {
      await mkdir(targetDir, { mode: 0o700 });
      if (identity) await chown(targetDir, identity.uid, identity.gid);
      return run(`--pg1-path=${targetDir} --type=none restore`);
    },
  };
}
