// Finds the server's own program for a major version: the configured folders first, then those of
// the Debian packages, then PATH. What `postgres --version` answers decides, asked as the user that
// will run the server.
import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Identity } from '../../platform/child-process.ts';
import { runCommand } from '../../platform/child-process.ts';

export type BinaryOptions = {
  readonly binDirs: readonly string[];
  readonly identity: Identity | null;
};

const packagesDir = '/usr/lib/postgresql';
const systemPath = '/usr/local/bin:/usr/bin:/bin';
const versionTimeoutMs = 10_000;

/** The folder of the binaries. @throws engine-refused naming what to install */
export async function findServerBinaries(
  serverVersion: string,
  options: BinaryOptions,
): Promise<string> {
  const major = majorOf(serverVersion);
  const seen: string[] = [];
  for (const folder of await listCandidates(options.binDirs)) {
    const found = await readVersion(join(folder, 'postgres'), options.identity);
    if (found === null) continue;
    if (majorOf(found) === major) return folder;
    seen.push(`${found} in ${folder}`);
  }
  const others = seen.length > 0 ? `; found ${seen.join(', ')}` : '';
  throw new CairnError('engine-refused', `PostgreSQL ${major} is not installed here${others}`, {
    hint: `install the package postgresql-${major}, or name its bin folder in the configuration`,
    details: { serverVersion, configured: options.binDirs.join(delimiter) },
  });
}

export function majorOf(serverVersion: string): string {
  return /^\d+/.exec(serverVersion)?.[0] ?? serverVersion;
}

/** Debian's package folders, newest first, and the usual PATH of a service. */
export async function listCandidates(binDirs: readonly string[]): Promise<string[]> {
  const names = await readdir(packagesDir).catch(() => []);
  const packaged = names
    .toSorted((a, b) => Number(b) - Number(a))
    .map((name) => join(packagesDir, name, 'bin'));
  return [...new Set([...binDirs, ...packaged, ...systemPath.split(delimiter)])];
}

/** `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; null when it does not run. */
export async function readVersion(
  program: string,
  identity: Identity | null,
): Promise<string | null> {
  try {
    const result = await runCommand(program, ['--version'], {
      timeoutMs: versionTimeoutMs,
      identity,
    });
    const match = /\(PostgreSQL\) (\d+\S*)/.exec(result.stdout);
    return result.exitCode === 0 ? (match?.[1] ?? null) : null;
  } catch {
    return null;
  }
}
