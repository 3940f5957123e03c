import type { Engine } from '../../model/engine-kind.ts';
import { findEngine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { EngineDrivers } from '../parts.ts';

/**
 * Newest first: the major versions that the driver of each engine is tested with. Those of SQL
 * Server are what its statements are written for: no real server has been seen yet.
 */
const versions: Readonly<Record<Engine, readonly string[]>> = {
  postgresql: ['18', '17', '16', '15'],
  mysql: ['10.11'],
  sqlserver: ['2022_EE', '2022_SE', '2019_EE', '2019_SE', '2017_EE', '2017_SE'],
};

/** The engine of that name, in any case of letters, if this build has a driver. @throws invalid */
export function requireOffered(drivers: EngineDrivers, name: string): Engine {
  const engine = findEngine(name);
  if (engine && drivers[engine]) return engine;
  throw new CairnError('invalid', 'this service has no such database engine', {
    reason: 'database-type-invalid',
  });
}

/** All of them, or the one that is asked for if it is among them. */
export function offeredVersions(engine: Engine, wanted: string | undefined): readonly string[] {
  return versions[engine].filter((version) => wanted === undefined || version === wanted);
}
