// restic (Debian's package) over the data folder, which nobody writes to meanwhile: what a general
// deduplicating tool costs. Without the log that the filling has left, which no other tool stores.
// It is no safe way to back up a running server.
import { join } from 'node:path';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import type { Tool } from './tool.ts';
import { folderBytes, measureLine } from './tool.ts';

export async function restic(server: TestServer, home: string): Promise<Tool> {
  const repository = join(home, 'restic');
  const env = {
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: join(home, 'restic-cache'),
    RESTIC_COMPRESSION: 'auto',
  };
  const run = (rest: string) => measureLine(`restic -q -r ${repository} ${rest}`, { env });
  run('init --repository-version 2');
  return {
    name: 'restic, cold copy',
    backUp: async () => run(`backup --exclude '${server.dataDir}/pg_wal/0*' ${server.dataDir}`),
    storedBytes: () => folderBytes(repository),
    restore: async (targetDir) => run(`restore latest --target ${targetDir}; sync`),
  };
}
