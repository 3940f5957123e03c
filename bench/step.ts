// One measured step in a process of its own, so that time, CPU and peak memory are those of the
// step alone. Arguments: one JSON object. Prints one JSON object.

import type { BackupId, ProjectId } from '../src/model/ids.ts';
import { toPreviousBackup } from '../src/operations/backup/previous-backup.ts';
import { restoreToFolder } from '../src/operations/restore/restore-to-folder.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import type { RepositoryPlace } from './parts.ts';
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
        readonly url: string;
        readonly id: string;
        readonly previous: string | null;
      }
    | { readonly kind: 'restore'; readonly id: string; readonly targetDir: string };
};

export type StepResult = {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
  readonly logicalBytes: number;
  readonly storedBytes: number | null;
};

const log = silentLogger;

async function run(request: StepRequest): Promise<StepResult> {
  const now = systemClock.now();
  await using repository = await openBenchRepository(request);
  const driver = createBenchDriver();
  const { step } = request;
  const beganMs = performance.now();
  let logicalBytes = 0;
  let storedBytes: number | null = null;
  if (step.kind === 'backup') {
    await using writer = await repository.openWriter({
      ...{ instanceId, backupId: step.id as BackupId, now, signal, log },
      previousBackupId: step.previous as BackupId | null,
    });
    const onProgress = (): void => undefined;
    const connection = driver.parseUrl(step.url);
    const base = await driver.takeBaseBackup(connection, {
      ...{ label: 'bench', sink: writer, onProgress, signal, log },
      previous: writer.previous && toPreviousBackup(writer.previous),
    });
    const { totals } = await writer.commit({
      instance: { name: 'bench', engine: 'postgresql' },
      backup: {
        projectId: 'bench' as ProjectId,
        ...{ name: 'bench', description: '', type: 'manual', databases: [] },
        ...{ startedAt: now, endedAt: systemClock.now() },
      },
      base,
      beforeCommit: async () => undefined,
    });
    logicalBytes = totals.logicalBytes;
    storedBytes = totals.storedBytes;
  } else {
    const parts = { repository, engines: { postgresql: driver } };
    const { stored } = await restoreToFolder(parts, {
      point: { kind: 'backup', backupId: step.id as BackupId },
      ...{ targetDir: step.targetDir, tablespaceDirs: {} },
      ...{ onProgress: () => undefined, signal, log },
    });
    logicalBytes = stored.totals.logicalBytes;
  }
  const wallSeconds = (performance.now() - beganMs) / 1000;
  const { maxRSS } = process.resourceUsage();
  return {
    wallSeconds,
    cpuSeconds: usedCpuSeconds(),
    peakMemoryBytes: maxRSS * 1024,
    logicalBytes,
    storedBytes,
  };
}

const result = await run(JSON.parse(process.argv[2] ?? '{}'));
process.stdout.write(`${JSON.stringify(result)}\n`);
