// Writes openapi.json, the document of the API as the code declares it.
import { writeFile } from 'node:fs/promises';
import type { ApiParts } from '../src/api/api-parts.ts';
import { renderOpenapi } from '../src/api/openapi.ts';
import { createApiServer } from '../src/api/server.ts';
import type { Catalog } from '../src/catalog/catalog.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Repository } from '../src/repository/repository.ts';

/** No request is served, so there is nothing for a catalog to answer. */
const parts: ApiParts = {
  catalog: {} as Catalog,
  engines: {},
  clock: systemClock,
  random: systemRandom,
  log: silentLogger,
  publicUrl: null,
  rateLimits: { requestsPerMinute: null, loginsPerMinute: null },
  instanceQuota: null,
  defaultPolicy: { kind: 'off' },
  secondStorage: null,
  downloads: { repository: {} as Repository, linkKey: Buffer.alloc(32), linkLifetimeMs: 1 },
};

const app = createApiServer(parts);
await app.ready();
await writeFile(new URL('../openapi.json', import.meta.url), renderOpenapi(app));
await app.close();
