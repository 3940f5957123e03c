// One measured step in a process of its own, so that time, CPU and peak memory are those of the
// step alone. Arguments: one JSON object. Prints one JSON object.

import type { BackupId, ProjectId } from '../src/model/ids.ts';
import { toPreviousBackup } from '../src/operations/backup/previous-backup.ts';
import { restoreToFolder } from '../src/operations/restore/restore-to-folder.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import type { Repository } from '../src/repository/repository.ts';
import type { BenchEngine, RepositoryPlace } from './parts.ts';
import {
  createBenchDriver,
  benchInstanceId as instanceId,
  openBenchRepository,
  benchSignal as signal,
  usedCpuSeconds,
} from './parts.ts';

export type StepRequest = RepositoryPlace & {
  readonly step:
    | {
        readonly kind: 'backup';
        readonly engine: BenchEngine;
        readonly url: string;
        readonly id: string;
        readonly previous: string | null;
      }
    | { readonly kind: 'restore'; readonly id: string; readonly targetDir: string }
    /** To a server that answers; it is stopped afterwards, outside the time. */
    | {
        readonly kind: 'start';
        readonly engine: BenchEngine;
        readonly url: string;
        readonly id: string;
        readonly homeDir: string;
      };
};

export type StepResult = {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
  readonly logicalBytes: number;
  readonly storedBytes: number | null;
};

const log = silentLogger;

type Done = Pick<StepResult, 'logicalBytes' | 'storedBytes'>;
type Step<Kind> = Extract<StepRequest['step'], { readonly kind: Kind }>;

async function backUp(repository: Repository, step: Step<'backup'>): Promise<Done> {
  const now = systemClock.now();
  const driver = createBenchDriver(step.engine);
  await using writer = await repository.openWriter({
    ...{ instanceId, backupId: step.id as BackupId, now, signal, log },
    previousBackupId: step.previous as BackupId | null,
  });
  const onProgress = (): void => undefined;
  const base = await driver.takeBaseBackup(driver.parseUrl(step.url), {
    ...{ label: 'bench', sink: writer, onProgress, signal, log },
    previous: writer.previous && toPreviousBackup(writer.previous),
  });
  const { totals } = await writer.commit({
    instance: { name: 'bench', engine: step.engine },
    backup: {
      projectId: 'bench' as ProjectId,
      ...{ name: 'bench', description: '', type: 'manual', databases: [] },
      ...{ startedAt: now, endedAt: systemClock.now() },
    },
    base,
    beforeCommit: async () => undefined,
  });
  return totals;
}

async function restore(repository: Repository, step: Step<'restore'>): Promise<Done> {
  const engines = { postgresql: createBenchDriver('postgresql') };
  const { stored } = await restoreToFolder(
    { repository, engines },
    {
      point: { kind: 'backup', backupId: step.id as BackupId },
      ...{ targetDir: step.targetDir, tablespaceDirs: {} },
      ...{ onProgress: () => undefined, signal, log },
    },
  );
  return { ...stored.totals, storedBytes: null };
}

/** Answers what stops the server too. */
async function start(
  repository: Repository,
  { engine, url, id, homeDir }: Step<'start'>,
): Promise<Done & { readonly stop: () => Promise<void> }> {
  const driver = createBenchDriver(engine);
  const source = await repository.openReader(instanceId, id as BackupId, signal);
  const { managed } = await driver.startRestored({
    ...{ source, homeDir, recovery: null, port: 0, signal, log },
    login: { connection: driver.parseUrl(url), rolePassword: 'ensure' },
    onProgress: () => undefined,
  });
  const stop = (): Promise<void> => driver.stopManaged(managed, signal);
  return { ...source.stored.totals, storedBytes: null, stop };
}

async function run(request: StepRequest): Promise<StepResult> {
  await using repository = await openBenchRepository(request);
  const { step } = request;
  const beganMs = performance.now();
  let stop: () => Promise<void> = async () => undefined;
  let done: Done;
  if (step.kind === 'backup') done = await backUp(repository, step);
  else if (step.kind === 'restore') done = await restore(repository, step);
  else ({ stop, ...done } = await start(repository, step));
  const wallSeconds = (performance.now() - beganMs) / 1000;
  const { maxRSS } = process.resourceUsage();
  const used = { wallSeconds, cpuSeconds: usedCpuSeconds(), peakMemoryBytes: maxRSS * 1024 };
  await stop();
  const { logicalBytes, storedBytes } = done;
  return { ...used, logicalBytes, storedBytes };
}

const result = await run(JSON.parse(process.argv[2] ?? '{}'));
process.stdout.write(`${JSON.stringify(result)}\n`);
