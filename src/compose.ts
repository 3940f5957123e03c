// The only place where parts are put together, by hand, top to bottom. Three programs come out of
// it: `serve` (API and supervised workers), `worker` (jobs) and the folder restore, which needs
// neither of them.
import { join } from 'node:path';
import { createApiServer } from './api/server.ts';
import type { Catalog } from './catalog/catalog.ts';
import { openCatalog } from './catalog/open-catalog.ts';
import type { LocalActions, ServeReady } from './cli/program.ts';
import { assertIsCopy, copyBackups, createSecondStorage, findOffsite } from './compose-copy.ts';
import { createEngines } from './compose-engines.ts';
import {
  ensureMasterKey,
  findMasterKey,
  makeDataDir,
  openForReading,
  ownerSetting,
  repositorySetting,
} from './compose-ground.ts';
import { changeKey, importMasterKey, retireKey } from './compose-keys.ts';
import { examineStorage, lockBackups, presignObject } from './compose-storage.ts';
import type { Config, Environment } from './config/config.ts';
import { credentialsPath, loadConfig } from './config/config.ts';
import { logAbsentCode } from './engines/engine.ts';
import { releaseOwner } from './jobs/reaper.ts';
import { createWorker } from './jobs/worker.ts';
import { nightlyPolicy } from './model/backup-policy.ts';
import { CairnError } from './model/errors.ts';
import { defaultPool } from './model/instance.ts';
import { checkStorage } from './operations/check/check-storage.ts';
import { makeCredentials, refreshEndpoint } from './operations/identity/credentials-file.ts';
import { createJobKinds } from './operations/job-kinds.ts';
import type { EngineDrivers, SecondStorage } from './operations/parts.ts';
import { rebuildCatalog } from './operations/rebuild/rebuild-catalog.ts';
import { fetchArchivedLog } from './operations/restore/fetch-archived-log.ts';
import { restoreToFolder } from './operations/restore/restore-to-folder.ts';
import { runScheduler } from './operations/schedule/run-scheduler.ts';
import type { Clock } from './platform/clock.ts';
import { systemClock } from './platform/clock.ts';
import { untilAborted } from './platform/deadline.ts';
import type { Logger } from './platform/logger.ts';
import { createLogger, silentLogger } from './platform/logger.ts';
import type { MasterKey } from './platform/master-key.ts';
import type { Random } from './platform/random.ts';
import { systemRandom } from './platform/random.ts';
import { untilFired } from './platform/shutdown.ts';
import { Supervisor } from './platform/supervisor.ts';
import { openRepository } from './repository/open-repository.ts';
import type { Repository } from './repository/repository.ts';
import { openExistingStorage, openStorage } from './storage/open-storage.ts';

const clock: Clock = systemClock;
const random: Random = systemRandom;
const workerStopMs = 20_000;
const openTimeoutMs = 60_000;
/** A cancel reaches a running job with the next renewal of its lease. */
const renewMaxMs = 2_000;
/** Whoever waits for an answer goes before the bytes of a backup. */
const workerNiceness = 10;
const quietly = { clock, random, log: silentLogger };

type ApiServer = ReturnType<typeof createApiServer>;

type Ground = {
  readonly config: Config;
  readonly log: Logger;
  readonly masterKey: MasterKey;
  readonly engines: EngineDrivers;
  readonly catalog: Catalog;
  readonly repository: Repository;
  readonly secondStorage: SecondStorage | null;
};

export function createLocalActions(environment: Environment): LocalActions {
  return {
    serve: (config, options) => serve(config, environment, options),
    worker: runWorker,
    restoreToFolder: restoreWithoutService,
    fetchArchivedLog: (request) => fetchWithoutService(request, environment),
    readMasterKey: findMasterKey,
    findRepository,
    importMasterKey,
    changeMasterKey: changeKey,
    retireMasterKey: retireKey,
    checkCatalog,
    checkBackups,
    rebuildCatalog: (config, request) => rebuildFromStorage(config, environment, request),
    examineStorage,
    lockBackups,
    presignObject,
    copyBackups,
    promoteCopy,
    findOffsite,
    engines: createEngines,
  };
}

async function serve(
  config: Config,
  environment: Environment,
  options: Parameters<LocalActions['serve']>[1],
): Promise<void> {
  const ground = await openGround(config, 'serve');
  const { catalog, engines, log, repository, secondStorage } = ground;
  const credentials = credentialsPath({ dataDir: config.dataDir }, environment);
  const publicUrl = config.publicUrl;
  const { instanceQuota, rateLimits } = config;
  const api = createApiServer({
    ...{ catalog, engines, clock, random, log, publicUrl, instanceQuota, rateLimits },
    defaultPolicy: nightlyPolicy(config.defaultKeepDays),
    secondStorage,
    downloads: {
      repository,
      linkKey: ground.masterKey.deriveKey('download links'),
      linkLifetimeMs: config.linkLifetimeMs,
    },
  });
  let supervisor: Supervisor | null = null;
  const ending = new AbortController();
  let scheduler: Promise<void> | null = null;
  try {
    await listen(api, config);
    const address = api.server.address();
    const port = address && typeof address === 'object' ? address.port : config.port;
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    const endpoint = publicUrl ?? `http://${host}:${port}`;
    const place = { path: credentials, endpoint, region: config.region };
    const madeCredentials = await makeCredentials({ catalog, random, clock }, place);
    if (!madeCredentials) await refreshEndpoint(place, random);
    supervisor = superviseWorkers(ground, environment, options.workers);
    const locksObjects = repository.locks !== null;
    const { logArchive } = config;
    const parts = { catalog, engines, clock, random, log };
    const scheduled = { ...parts, secondStorage, locksObjects, logArchive };
    scheduler = runScheduler(scheduled, ending.signal);
    const ready: ServeReady = { endpoint, credentials, madeCredentials };
    options.onReady(ready);
    await untilFired(options.signal);
    log.info('stopping');
  } finally {
    ending.abort();
    // All at once: a request that hangs must not keep the workers running.
    await Promise.allSettled([closeApi(api), supervisor?.stop(workerStopMs), scheduler]);
    await repository[Symbol.asyncDispose]();
    await catalog.close();
  }
}

/** Waits for the answers under way, but not for ever. */
async function closeApi(api: ApiServer): Promise<void> {
  const closing = api.close();
  closing.catch(() => undefined);
  await untilAborted(closing, AbortSignal.timeout(workerStopMs));
}

async function listen(api: ApiServer, { host, port }: Config): Promise<void> {
  try {
    await api.listen({ host, port });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : cause;
    const isTaken = code === 'EADDRINUSE';
    const text = isTaken ? 'another program listens there' : String(code);
    throw new CairnError(
      isTaken ? 'conflict' : 'invalid',
      `cannot listen on ${host}:${port}: ${text}`,
      {
        hint: 'name another address with --listen HOST:PORT, or stop what listens there',
        cause,
      },
    );
  }
}

function superviseWorkers(ground: Ground, environment: Environment, count: number): Supervisor {
  const { catalog, config, log } = ground;
  const kinds = createJobKinds(workerParts(ground));
  return new Supervisor({
    count,
    modulePath: join(import.meta.dirname, 'main.ts'),
    argsFor: (owner) => ['worker', '--data', config.dataDir, '--owner', owner],
    newName: () => `worker-${random.hex(6)}`,
    environment,
    niceness: workerNiceness,
    onDeath: async (owner) => {
      const { retryDelayMs } = config.jobs;
      await releaseOwner({ catalog, clock, kinds, log, retryDelayMs }, owner);
    },
    ...{ clock, log },
  });
}

async function runWorker(
  config: Config,
  options: Parameters<LocalActions['worker']>[1],
): Promise<void> {
  const ground = await openGround(config, 'worker');
  const { catalog, log, repository } = ground;
  try {
    await using worker = createWorker({
      ...{ catalog, clock, random, log },
      kinds: createJobKinds(workerParts(ground)),
      owner: options.owner ?? `worker-${random.hex(6)}`,
      pools: options.pools.length > 0 ? options.pools : [defaultPool],
      leaseMs: config.jobs.leaseMs,
      renewMs: Math.min(renewMaxMs, Math.floor(config.jobs.leaseMs / 3)),
      retryDelayMs: config.jobs.retryDelayMs,
      concurrency: config.jobs.concurrency,
    });
    worker.start();
    options.onReady();
    await untilFired(options.signal);
    await worker.stop({ graceMs: workerStopMs / 2 });
  } finally {
    await repository[Symbol.asyncDispose]();
    await catalog.close();
  }
}

async function restoreWithoutService(
  config: Config,
  request: Parameters<LocalActions['restoreToFolder']>[1],
): ReturnType<LocalActions['restoreToFolder']> {
  const { log } = quietly;
  await using repository = await openForReading(config, request.signal);
  const engines = createEngines(config);
  return await restoreToFolder({ repository, engines }, { ...request, log });
}

async function fetchWithoutService(
  request: Parameters<LocalActions['fetchArchivedLog']>[0],
  environment: Environment,
): ReturnType<LocalActions['fetchArchivedLog']> {
  const { dataDir, storageUrl } = request.plan;
  const config = loadConfig({ dataDir }, { ...environment, CAIRN_STORAGE: storageUrl });
  await using repository = await openForReading(config, request.signal);
  const engines = createEngines(config);
  const answer = await fetchArchivedLog({ repository, engines }, request);
  return { found: answer === 'found', absentCode: logAbsentCode };
}

async function checkBackups(
  config: Config,
  { instance, ...options }: Parameters<LocalActions['checkBackups']>[1],
): ReturnType<LocalActions['checkBackups']> {
  await using repository = await openForReading(config, options.signal);
  return await checkStorage(repository, instance, options);
}

/** Reads the repository first, so that a wrong address or key makes no catalog. */
async function rebuildFromStorage(
  config: Config,
  environment: Environment,
  request: Parameters<LocalActions['rebuildCatalog']>[1],
): ReturnType<LocalActions['rebuildCatalog']> {
  await using repository = await openForReading(config, request.signal);
  const masterKey = await findMasterKey(config);
  await makeDataDir(config);
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock });
  try {
    await takeOverRepository(catalog, repository, request);
    const credentials = credentialsPath({ dataDir: config.dataDir }, environment);
    const endpoint = config.publicUrl ?? `http://${config.host}:${config.port}`;
    const report = await rebuildCatalog(
      {
        ...{ catalog, repository, clock, random },
        bootstrap: async (projectId) => {
          const place = { path: credentials, endpoint, region: config.region };
          await makeCredentials({ catalog, random, clock }, place, projectId);
        },
      },
      request,
    );
    await catalog.settings.ensure(repositorySetting, repository.id);
    return { ...report, location: repository.location, credentials };
  } finally {
    await catalog.close();
  }
}

async function promoteCopy(config: Config): Promise<{ readonly location: string }> {
  const signal = AbortSignal.timeout(openTimeoutMs);
  await assertIsCopy(await openExistingStorage(config.storageUrl, quietly), signal);
  await using repository = await openForReading(config, signal);
  const masterKey = await findMasterKey(config);
  await makeDataDir(config);
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock });
  try {
    await takeOverRepository(catalog, repository, { takeOver: true, signal });
    await catalog.settings.ensure(repositorySetting, repository.id);
    return { location: repository.location };
  } finally {
    await catalog.close();
  }
}

/** First, so that nobody else changes what is read. @throws conflict */
async function takeOverRepository(
  catalog: Catalog,
  repository: Repository,
  { takeOver, signal }: { readonly takeOver: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const expectedId = await catalog.settings.find(repositorySetting);
  if (expectedId !== null && expectedId !== repository.id) {
    const text = `the catalog belongs to repository ${expectedId}, not to ${repository.id}`;
    throw new CairnError('conflict', text, {
      hint: `${repository.location} needs a catalog of its own: name another --data or database`,
    });
  }
  const ownerId = await catalog.settings.ensure(ownerSetting, random.hex(16));
  await repository.takeOver(ownerId, { isAllowed: takeOver, now: clock.now(), signal });
}

/** Also whether the master key is that of the repository: with another, nothing can be read. */
async function findRepository(config: Config): ReturnType<LocalActions['findRepository']> {
  await using repository = await openForReading(config, AbortSignal.timeout(30_000));
  return { id: repository.id, location: repository.location };
}

async function checkCatalog(config: Config): Promise<void> {
  const masterKey = await findMasterKey(config);
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock });
  try {
    await catalog.ping();
  } finally {
    await catalog.close();
  }
}

/** What `serve` and `worker` both stand on. */
async function openGround(config: Config, name: string): Promise<Ground> {
  const log = createLogger(config.logLevel, name);
  await makeDataDir(config);
  const masterKey = await ensureMasterKey(config);
  const engines = createEngines(config);
  const storage = await openStorage(config.storageUrl, { clock, random, log });
  // A store that lacks something is told of now, not in the middle of a backup.
  await storage.examine?.(AbortSignal.timeout(openTimeoutMs));
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock, log });
  try {
    const ownerId = await catalog.settings.ensure(ownerSetting, random.hex(16));
    const signal = AbortSignal.timeout(openTimeoutMs);
    const now = clock.now();
    // Once a catalog has a repository, another or none in its place is an error: where a volume is
    // not mounted, its backups would seem lost and a new repository would grow over them.
    const expectedId = await catalog.settings.find(repositorySetting);
    const parts = { storage, masterKey, ownerId, random, now, signal };
    const objectSizes = { checkpointBytes: config.checkpointBytes };
    const repository = await openRepository({ ...parts, expectedId, objectSizes });
    await catalog.settings.ensure(repositorySetting, repository.id);
    const repositoryId = repository.id;
    const offsite = { config, catalog, masterKey, source: storage, repositoryId, log };
    const secondStorage = createSecondStorage(offsite);
    return { config, log, masterKey, engines, catalog, repository, secondStorage };
  } catch (error) {
    await catalog.close();
    throw error;
  }
}

function workerParts({ catalog, engines, repository, secondStorage, config }: Ground) {
  const { serversDir, pruneGraceMs, logArchive } = config;
  return {
    catalog,
    engines,
    repository,
    secondStorage,
    clock,
    random,
    serversDir,
    pruneGraceMs,
    logArchive,
  };
}
