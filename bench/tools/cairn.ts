// Cairn, each step in a process of its own (`../step.ts`).
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestServer } from '../../test/fixtures/postgres-server.ts';
import type { BenchEngine } from '../parts.ts';
import type { StepRequest, StepResult } from '../step.ts';
import type { Measured, Tool } from './tool.ts';
import { folderBytes } from './tool.ts';

export type BenchRepository = Pick<Tool, 'name' | 'backUp' | 'storedBytes'> & {
  run(step: StepRequest['step']): Measured;
  /** The id of the last backup. */
  latest(): string;
};

/** A new one, which each backup of the server goes to. */
export async function openBenchRepository(
  server: { readonly engine: BenchEngine; readonly url: string },
  home: string,
): Promise<BenchRepository> {
  const repositoryDir = join(home, 'cairn');
  await mkdir(repositoryDir);
  const masterKey = randomBytes(32).toString('hex');
  const run = (step: StepRequest['step']): Measured => runStep({ repositoryDir, masterKey, step });
  let previous: string | null = null;
  let count = 0;
  return {
    name: 'Cairn',
    run,
    latest: () => previous ?? '',
    backUp: async () => {
      const id = `bench-${++count}`;
      const { engine, url } = server;
      const measured = run({ kind: 'backup', engine, url, id, previous });
      previous = id;
      return measured;
    },
    storedBytes: () => folderBytes(repositoryDir),
  };
}

export async function cairn({ url }: TestServer, home: string): Promise<Tool> {
  const repository = await openBenchRepository({ engine: 'postgresql', url }, home);
  return {
    ...repository,
    restore: async (targetDir) =>
      repository.run({ kind: 'restore', id: repository.latest(), targetDir }),
  };
}

/** Its time without the start of the process, about 0.4 s; CPU and memory with it. */
export function runStep(request: StepRequest): Measured {
  const script = join(import.meta.dirname, '../step.ts');
  // As the command line of the project starts Node.
  const flags = ['--initial-old-space-size=128', '--disable-warning=ExperimentalWarning'];
  const args = [...flags, script, JSON.stringify(request)];
  const profile = process.env['BENCH_PROFILE'];
  if (profile) args.unshift('--cpu-prof', `--cpu-prof-dir=${profile}`);
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`step failed: ${stderr}`);
  const { wallSeconds, cpuSeconds, peakMemoryBytes }: StepResult = JSON.parse(stdout);
  return { wallSeconds, cpuSeconds, peakBytes: peakMemoryBytes };
}
