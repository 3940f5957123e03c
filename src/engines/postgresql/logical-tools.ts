// Finds PostgreSQL's programs for logical backups. pg_dump reads servers of its own major version
// and of older ones (PostgreSQL documentation, "pg_dump", "Notes"), so the oldest that is new
// enough is taken: what it writes is understood most widely.
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { listCandidates, readVersion } from './server-binaries.ts';

export type ClientTools = {
  readonly binDir: string;
  /** As pg_dump says it: `15.18`. */
  readonly version: string;
};

const programs = ['pg_dump', 'pg_dumpall', 'pg_restore'] as const;

/** @throws engine-refused naming what to install */
export async function findClientTools(
  majorMin: number,
  binDirs: readonly string[],
): Promise<ClientTools> {
  const found: ClientTools[] = [];
  for (const binDir of await listCandidates(binDirs)) {
    const versions = await Promise.all(
      programs.map((program) => readVersion(join(binDir, program), null)),
    );
    const [version] = versions;
    if (version && versions.every((one) => one === version)) found.push({ binDir, version });
  }
  const fitting = found
    .filter(({ version }) => Number.parseInt(version, 10) >= majorMin)
    .sort((a, b) => Number.parseInt(a.version, 10) - Number.parseInt(b.version, 10));
  const [tools] = fitting;
  if (tools) return tools;
  const others = found.map(({ version, binDir }) => `${version} in ${binDir}`);
  const seen = others.length > 0 ? `; found ${others.join(', ')}` : '';
  throw new CairnError(
    'engine-refused',
    `pg_dump, pg_dumpall and pg_restore of PostgreSQL ${majorMin} or newer are not here${seen}`,
    {
      hint:
        `install the package postgresql-client-${majorMin} where the worker runs, or name its ` +
        'bin folder in the configuration',
    },
  );
}
