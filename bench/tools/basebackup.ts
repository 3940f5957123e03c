// pg_basebackup, in its two fast ways: zstd in a pipe, and zstd in the server.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import type { Tool } from './tool.ts';
import { folderBytes, measureLine } from './tool.ts';

export async function pipedBasebackup(server: TestServer, home: string): Promise<Tool> {
  const folder = join(home, 'piped');
  await mkdir(folder);
  const file = join(folder, 'base.tar.zst');
  // One stream to a pipe needs the WAL in it, and cannot carry tablespaces; there are none.
  const base = `${server.binDir}/pg_basebackup -d '${server.url}' -Ft -X fetch -c fast -D -`;
  return {
    name: 'pg_basebackup, zstd -1 -T2',
    backUp: async () => measureLine(`${base} | zstd -q -1 -T2 -o ${file} -f`),
    storedBytes: () => folderBytes(folder),
    restore: async (targetDir) =>
      measureLine(`mkdir -p ${targetDir} && zstd -dc ${file} | tar -x -C ${targetDir} -f -; sync`),
  };
}

export async function serverSideBasebackup(server: TestServer, home: string): Promise<Tool> {
  const folder = join(home, 'server-side');
  await mkdir(folder);
  const base = `${server.binDir}/pg_basebackup -d '${server.url}' -Ft -X fetch -c fast`;
  const compress = '--compress=server-zstd:level=1,workers=2';
  const target = join(folder, 'base');
  return {
    name: 'pg_basebackup, server zstd:1 workers=2',
    backUp: async () => measureLine(`rm -rf ${target}; ${base} ${compress} -D ${target}`),
    storedBytes: () => folderBytes(folder),
    restore: null,
  };
}
