// What operations are given. Each takes the slice that it uses.
import type { Catalog } from '../catalog/catalog.ts';
import type { EngineDriver } from '../engines/engine.ts';
import type { Engine } from '../model/engine-kind.ts';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';

export type EngineDrivers = Partial<Record<Engine, EngineDriver>>;

/** For operations that answer a caller (API, command line): they never move backup bytes. */
export type RequestParts = {
  readonly catalog: Catalog;
  readonly engines: EngineDrivers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
};

/** @throws engine-refused when this build has no driver for the engine */
export function driverFor(engines: EngineDrivers, engine: Engine): EngineDriver {
  const driver = engines[engine];
  if (!driver) throw new CairnError('engine-refused', `engine ${engine} is not supported`);
  return driver;
}
