// What a measured step works with: repository and driver, put together as a worker has them.
import type { EngineDriver } from '../src/engines/engine.ts';
import { createMysqlDriver } from '../src/engines/mysql/driver.ts';
import { createPostgresqlDriver } from '../src/engines/postgresql/driver.ts';
import type { InstanceId } from '../src/model/ids.ts';
import { systemClock } from '../src/platform/clock.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import { LocalStorage } from '../src/storage/local.ts';

export type RepositoryPlace = { readonly repositoryDir: string; readonly masterKey: string };

export const benchInstanceId = 'bench0000000000000000000000000000in03' as InstanceId;
export const benchSignal: AbortSignal = new AbortController().signal;

export async function openBenchRepository(place: RepositoryPlace) {
  const storage = await LocalStorage.open(place.repositoryDir, systemRandom);
  const masterKey = MasterKey.parse(place.masterKey);
  return await openRepository({
    ...{ storage, masterKey, ownerId: 'bench', expectedId: null, random: systemRandom },
    ...{ now: systemClock.now(), signal: benchSignal },
  });
}

export type BenchEngine = 'postgresql' | 'mysql';

export function createBenchDriver(
  engine: BenchEngine,
  binDirs: readonly string[] = [],
): EngineDriver {
  const parts = { binDirs, serverUser: null, clock: systemClock, random: systemRandom };
  return engine === 'mysql'
    ? createMysqlDriver({ ...parts, extraConfigFile: null })
    : createPostgresqlDriver(parts);
}

/** Of this process, with its threads. */
export function usedCpuSeconds(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return (userCPUTime + systemCPUTime) / 1e6;
}
