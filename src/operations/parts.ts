// What operations are given. Each takes the slice that it uses.
import type { Catalog } from '../catalog/catalog.ts';
import type { EngineDriver } from '../engines/engine.ts';
import type { BackupPolicy } from '../model/backup-policy.ts';
import type { Engine } from '../model/engine-kind.ts';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';
import type { RepositoryCopy } from '../repository/repository.ts';

export type EngineDrivers = Partial<Record<Engine, EngineDriver>>;

/** Where a copy of the repository is kept. */
export type SecondStorage = {
  /** Its name as a region, in off-site policies. */
  readonly region: string;
  /** Opened when it is used: its being away stops nothing else. @throws storage errors */
  open(): Promise<RepositoryCopy>;
};

export type LogArchiveSetting = {
  /** Off: no log is archived, whatever the policies say. */
  readonly isOn: boolean;
  /** Length of intervals in place of what the policies say; null: as they say. */
  readonly intervalMs: number | null;
};

/** For operations that answer a caller (API, command line): they never move backup bytes. */
export type RequestParts = {
  readonly catalog: Catalog;
  readonly engines: EngineDrivers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Instances that a project may have; null: as many as it likes. */
  readonly instanceQuota: number | null;
  /** What a new instance gets unless its request names another. */
  readonly defaultPolicy: BackupPolicy;
  /** Where copies of backups can go besides the storage; null: nowhere. */
  readonly secondStorage: SecondStorage | null;
};

/** @throws engine-refused when this build has no driver for the engine */
export function driverFor(engines: EngineDrivers, engine: Engine): EngineDriver {
  const driver = engines[engine];
  if (!driver) throw new CairnError('engine-refused', `engine ${engine} is not supported`);
  return driver;
}
