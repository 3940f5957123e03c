// What a tool under measurement does, and how a command line is measured.
import { spawnSync } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Identity } from '../../src/platform/child-process.ts';

export type Measured = {
  readonly wallSeconds: number;
  /** Of the tool, not of the server. */
  readonly cpuSeconds: number;
  /** Null where it is not measured. */
  readonly peakBytes: number | null;
};

export type Tool = {
  readonly name: string;
  /** The first is a full one; later ones may build on those before. */
  backUp(): Promise<Measured>;
  /** What its repository holds now. */
  storedBytes(): Promise<number>;
  /** The latest backup into a new folder; null where the tool has no restore of its own. */
  restore: ((targetDir: string) => Promise<Measured>) | null;
};

export type CommandOptions = {
  readonly identity?: Identity | null;
  readonly env?: Readonly<Record<string, string>>;
};

/** Runs a line of bash, which tells the CPU time of its children by `times`. */
export function measureLine(line: string, options: CommandOptions = {}): Measured {
  const beganMs = performance.now();
  const script = `set -e -o pipefail; { ${line}; } >/dev/null; times`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { PATH: process.env['PATH'], LC_ALL: 'C', ...options.env },
    cwd: '/',
    ...options.identity,
  });
  const wallSeconds = (performance.now() - beganMs) / 1000;
  if (status !== 0) throw new Error(`${line.slice(0, 200)} failed: ${stderr.slice(-2000)}`);
  const children = stdout.trim().split('\n').at(-1) ?? '';
  const cpuSeconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
  return { wallSeconds, cpuSeconds, peakBytes: null };
}

export async function folderBytes(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return total;
}
