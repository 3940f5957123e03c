import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';

/** For stanza `bench`: zstd at its default level, two processes. */
export async function writePgbackrestConfig(
  path: string,
  server: TestServer,
  own: Readonly<Record<string, string>>,
): Promise<void> {
  const settings = {
    'compress-type': 'zst',
    'process-max': '2',
    'start-fast': 'y',
    'log-level-file': 'off',
    'repo1-retention-full': '9',
    ...own,
  };
  const stanza = {
    'pg1-path': server.dataDir,
    'pg1-port': String(server.port),
    'pg1-socket-path': dirname(server.dataDir),
    'pg1-user': 'postgres',
  };
  const format = (section: object): string =>
    Object.entries(section)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
  await writeFile(path, `[global]\n${format(settings)}\n[bench]\n${format(stanza)}`, {
    mode: 0o644,
  });
}
