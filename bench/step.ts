// One measured step in a process of its own, so that time, CPU and peak memory are those of the
// step alone. Arguments: one JSON object. Prints one JSON object.

import { createPostgresqlDriver } from '../src/engines/postgresql/driver.ts';
import type { BackupId, InstanceId, ProjectId } from '../src/model/ids.ts';
import { toPreviousBackup } from '../src/operations/backup/previous-backup.ts';
import { restoreToFolder } from '../src/operations/restore/restore-to-folder.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import { LocalStorage } from '../src/storage/local.ts';

export type StepRequest = {
  readonly repositoryDir: string;
  readonly masterKey: string;
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

const instanceId = 'bench0000000000000000000000000000in03' as InstanceId;
const random = systemRandom;
const signal = new AbortController().signal;
const log = silentLogger;

async function run(request: StepRequest): Promise<StepResult> {
  const storage = await LocalStorage.open(request.repositoryDir, random);
  const masterKey = MasterKey.parse(request.masterKey);
  const now = systemClock.now();
  await using repository = await openRepository({
    ...{ storage, masterKey, ownerId: 'bench', expectedId: null, random, now, signal },
  });
  const driver = createPostgresqlDriver({
    binDirs: [],
    serverUser: null,
    clock: systemClock,
    random,
  });
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
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return {
    wallSeconds,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakMemoryBytes: maxRSS * 1024,
    logicalBytes,
    storedBytes,
  };
}

const result = await run(JSON.parse(process.argv[2] ?? '{}'));
process.stdout.write(`${JSON.stringify(result)}\n`);
