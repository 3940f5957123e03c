// Puts together the engines that this build knows.
import type { Config } from './config/config.ts';
import { createMysqlDriver } from './engines/mysql/driver.ts';
import { createPostgresqlDriver } from './engines/postgresql/driver.ts';
import { createSqlServerDriver } from './engines/sqlserver/driver.ts';
import type { Ground } from './engines/sqlserver/ground.ts';
import { openExchange } from './engines/sqlserver/open-exchange.ts';
import type { EngineDrivers } from './operations/parts.ts';
import { systemClock as clock } from './platform/clock.ts';
import { silentLogger } from './platform/logger.ts';
import { systemRandom as random } from './platform/random.ts';
import { openS3Bucket } from './storage/open-bucket.ts';

export function createEngines(config: Config): EngineDrivers {
  const { postgresqlBinDirs, mysql, serverUser } = config;
  const parts = { serverUser, clock, random };
  const openBucket: Ground['openBucket'] = async (place) =>
    await openS3Bucket(place, { clock, random, log: silentLogger });
  return {
    postgresql: createPostgresqlDriver({ ...parts, binDirs: postgresqlBinDirs }),
    mysql: createMysqlDriver({
      ...parts,
      binDirs: mysql.binDirs,
      extraConfigFile: mysql.configFile,
    }),
    sqlserver: createSqlServerDriver({
      ...{ clock, random, openBucket },
      openExchange: (connection) => openExchange(connection, openBucket),
    }),
  };
}
