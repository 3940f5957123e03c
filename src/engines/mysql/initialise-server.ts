// An empty data folder for a server of its own (MariaDB documentation, "mariadb-install-db"; MySQL
// manual, "Initializing the Data Directory"), to load a logical backup into.
import { chown, mkdir, rm } from 'node:fs/promises';
import { CairnError } from '../../model/errors.ts';
import type { Identity } from '../../platform/child-process.ts';
import { runCommand } from '../../platform/child-process.ts';
import type { Flavor } from './flavor.ts';

export type InitialiseOptions = {
  readonly flavor: Flavor;
  /** The program, absolute. */
  readonly tool: string;
  /** Must not exist; its parent belongs to the server's user. */
  readonly dataDir: string;
  /** How names of tables are kept is fixed with the first of them. */
  readonly lowerCaseTableNames: string | undefined;
  readonly identity: Identity | null;
  readonly signal: AbortSignal;
};

const timeoutMs = 10 * 60_000;

/** Nothing is left of the folder when it fails. @throws engine-refused, cancelled */
export async function initialiseData(options: InitialiseOptions): Promise<void> {
  const { tool, dataDir, identity, signal } = options;
  // A server that starts removes temporary tables of others from a folder that they share.
  const scratchDir = `${dataDir}.initialising`;
  await mkdir(scratchDir, { mode: 0o700 });
  if (identity) await chown(scratchDir, identity.uid, identity.gid);
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8', TMPDIR: scratchDir };
  const { exitCode, stdout, stderr } = await runCommand(tool, initialiseArguments(options), {
    ...{ timeoutMs, identity, signal, env },
  }).finally(() => rm(scratchDir, { recursive: true, force: true }));
  if (exitCode === 0) return;
  await rm(dataDir, { recursive: true, force: true });
  const text = `${stdout}\n${stderr}`.trim().split('\n').slice(-6).join('; ');
  throw new CairnError('engine-refused', `${tool} has failed (exit code ${exitCode}): ${text}`);
}

/** No test database, no user that anybody could be. */
export function initialiseArguments(options: InitialiseOptions): string[] {
  const { flavor, dataDir, lowerCaseTableNames } = options;
  const common = ['--no-defaults', `--datadir=${dataDir}`];
  if (lowerCaseTableNames !== undefined) {
    common.push(`--lower-case-table-names=${lowerCaseTableNames}`);
  }
  return flavor === 'mysql'
    ? [...common, '--initialize']
    : [
        ...common,
        '--skip-test-db',
        '--skip-name-resolve',
        '--auth-root-authentication-method=socket',
      ];
}
