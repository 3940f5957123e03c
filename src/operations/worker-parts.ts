import type { Catalog } from '../catalog/catalog.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { Repository } from '../repository/repository.ts';
import type { EngineDrivers, LogArchiveSetting, SecondStorage } from './parts.ts';

/** What the recipes of a worker are given. */
export type WorkerParts = {
  readonly catalog: Catalog;
  readonly engines: EngineDrivers;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly random: Random;
  readonly secondStorage: SecondStorage | null;
  /** Servers that a restore starts live in folders of their own below this one. */
  readonly serversDir: string;
  /** How long an object must have been unneeded before it goes. */
  readonly pruneGraceMs: number;
  readonly logArchive: LogArchiveSetting;
};
