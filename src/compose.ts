// The only place where parts are put together, by hand, top to bottom. Three programs come out of
// it: `serve` (API and supervised workers), `worker` (jobs) and the folder restore, which needs
// neither of them.
import { access, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createApiServer } from './api/server.ts';
import type { Catalog } from './catalog/catalog.ts';
import { openCatalog } from './catalog/open-catalog.ts';
import type { LocalActions, ServeReady } from './cli/program.ts';
import type { Config, Environment } from './config/config.ts';
import { credentialsPath } from './config/config.ts';
import { createPostgresqlDriver } from './engines/postgresql/driver.ts';
import { releaseOwner } from './jobs/reaper.ts';
import { createWorker } from './jobs/worker.ts';
import { nightlyPolicy } from './model/backup-policy.ts';
import { CairnError } from './model/errors.ts';
import { defaultPool } from './model/instance.ts';
import { bootstrapIdentity } from './operations/identity/bootstrap-identity.ts';
import { createJobKinds } from './operations/job-kinds.ts';
import type { EngineDrivers } from './operations/parts.ts';
import { restoreToFolder } from './operations/restore/restore-to-folder.ts';
import { runScheduler } from './operations/schedule/run-scheduler.ts';
import type { Clock } from './platform/clock.ts';
import { systemClock } from './platform/clock.ts';
import { untilAborted } from './platform/deadline.ts';
import type { Logger } from './platform/logger.ts';
import { createLogger, silentLogger } from './platform/logger.ts';
import { MasterKey } from './platform/master-key.ts';
import { ensurePrivateFile, readFileIfPresent, writePrivateFile } from './platform/private-file.ts';
import type { Random } from './platform/random.ts';
import { systemRandom } from './platform/random.ts';
import { untilFired } from './platform/shutdown.ts';
import { Supervisor } from './platform/supervisor.ts';
import { openRepository } from './repository/open-repository.ts';
import type { Repository } from './repository/repository.ts';
import { LocalStorage } from './storage/local.ts';
import type { Storage } from './storage/storage.ts';

const clock: Clock = systemClock;
const random: Random = systemRandom;
const workerStopMs = 20_000;
/** A cancel reaches a running job with the next renewal of its lease. */
const renewMaxMs = 2_000;
/** Whoever waits for an answer goes before the bytes of a backup. */
const workerNiceness = 10;
const ownerSetting = 'catalog.id';
const repositorySetting = 'repository.id';

type ApiServer = ReturnType<typeof createApiServer>;

type Ground = {
  readonly config: Config;
  readonly log: Logger;
  readonly masterKey: MasterKey;
  readonly engines: EngineDrivers;
  readonly catalog: Catalog;
  readonly repository: Repository;
};

export function createLocalActions(environment: Environment): LocalActions {
  return {
    serve: (config, options) => serve(config, environment, options),
    worker: runWorker,
    restoreToFolder: restoreWithoutService,
    readMasterKey: findMasterKey,
    checkCatalog,
    checkStorage,
    engines: createEngines,
  };
}

async function serve(
  config: Config,
  environment: Environment,
  options: Parameters<LocalActions['serve']>[1],
): Promise<void> {
  const ground = await openGround(config, 'serve');
  const { catalog, engines, log, repository } = ground;
  const credentials = credentialsPath({ dataDir: config.dataDir }, environment);
  const publicUrl = config.publicUrl;
  const { instanceQuota, rateLimits } = config;
  const api = createApiServer({
    ...{ catalog, engines, clock, random, log, publicUrl, instanceQuota, rateLimits },
    defaultPolicy: nightlyPolicy(config.defaultKeepDays),
    secondStorage: null,
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
    const madeCredentials = await writeCredentials(ground, credentials, endpoint);
    supervisor = superviseWorkers(ground, environment, options.workers);
    scheduler = runScheduler({ catalog, clock, random, log }, ending.signal);
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
  const log = silentLogger;
  const masterKey = await findMasterKey(config);
  const storage = await openExistingStorage(config.storageUrl);
  await using repository = await openRepository({
    ...{ storage, masterKey, random },
    ownerId: null,
    expectedId: null,
    now: clock.now(),
    signal: request.signal,
  });
  const engines = createEngines(config);
  return await restoreToFolder({ repository, engines }, { ...request, log });
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

/** Also whether the master key is that of the repository: with another, nothing can be read. */
async function checkStorage(config: Config): Promise<string> {
  const masterKey = await findMasterKey(config);
  const storage = await openExistingStorage(config.storageUrl);
  await using repository = await openRepository({
    ...{ storage, masterKey, random, ownerId: null, expectedId: null },
    now: clock.now(),
    signal: AbortSignal.timeout(30_000),
  });
  return repository.location;
}

/** What `serve` and `worker` both stand on. */
async function openGround(config: Config, name: string): Promise<Ground> {
  const log = createLogger(config.logLevel, name);
  await makeDataDir(config);
  const masterKey = await ensureMasterKey(config);
  const engines = createEngines(config);
  const storage = await openStorage(config.storageUrl);
  const catalog = await openCatalog({ url: config.databaseUrl.reveal(), masterKey, clock, log });
  try {
    const ownerId = await catalog.settings.ensure(ownerSetting, random.hex(16));
    const signal = AbortSignal.timeout(60_000);
    const now = clock.now();
    // Once a catalog has a repository, another or none in its place is an error: where a volume is
    // not mounted, its backups would seem lost and a new repository would grow over them.
    const expectedId = await catalog.settings.find(repositorySetting);
    const parts = { storage, masterKey, ownerId, random, now, signal };
    const repository = await openRepository({ ...parts, expectedId });
    await catalog.settings.ensure(repositorySetting, repository.id);
    return { config, log, masterKey, engines, catalog, repository };
  } catch (error) {
    await catalog.close();
    throw error;
  }
}

function workerParts({ catalog, engines, repository, config }: Ground) {
  return { catalog, engines, repository, clock, random, serversDir: config.serversDir };
}

/** The engines that this build knows. */
function createEngines(config: Config): EngineDrivers {
  const { postgresqlBinDirs: binDirs, serverUser } = config;
  return { postgresql: createPostgresqlDriver({ binDirs, serverUser, clock, random }) };
}

/** For what only reads: a storage location that is not there must not be made. @throws not-found */
async function openExistingStorage(url: string): Promise<Storage> {
  await access(parseStorageUrl(url)).catch((cause: NodeJS.ErrnoException) => {
    throw new CairnError('not-found', `there is no storage in ${url}: ${cause.code}`, {
      hint: 'check CAIRN_STORAGE; without it, storage is the folder repository in the data folder',
      cause,
    });
  });
  return await openStorage(url);
}

async function openStorage(url: string): Promise<Storage> {
  return await LocalStorage.open(parseStorageUrl(url), random);
}

/** The folder that a `file:` address names. @throws invalid */
function parseStorageUrl(url: string): string {
  const hint = 'set CAIRN_STORAGE to file:///absolute/path, with %23 for # and %3F for ?';
  const parsed = URL.parse(url);
  if (parsed?.protocol !== 'file:') {
    const scheme = url.split('://')[0];
    throw new CairnError('invalid', `storage location ${scheme}:// is not supported`, { hint });
  }
  if (parsed.host !== '' || parsed.search !== '' || parsed.hash !== '') {
    throw new CairnError('invalid', `storage location ${url} does not name a folder`, { hint });
  }
  return resolve(fileURLToPath(parsed));
}

/**
 * Servers that a restore starts run as another user when we are root, so the folders above theirs
 * can be passed through (but not listed); what is private inside is private by its own mode.
 */
async function makeDataDir({ dataDir, serversDir }: Config): Promise<void> {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  await mkdir(dataDir, { recursive: true, mode });
  await mkdir(serversDir, { recursive: true, mode });
}

const keyPath = ({ dataDir }: Config): string => join(dataDir, 'master.key');

async function ensureMasterKey(config: Config): Promise<MasterKey> {
  const found = await readMasterKey(config);
  if (found) return found;
  const made = `${MasterKey.generate().reveal()}\n`;
  return MasterKey.parse(await ensurePrivateFile(keyPath(config), made, random));
}

/** @throws not-found: a restore must never make a key of its own */
async function findMasterKey(config: Config): Promise<MasterKey> {
  const found = await readMasterKey(config);
  if (found) return found;
  throw new CairnError('not-found', `there is no master key in ${keyPath(config)}`, {
    hint: 'name the data folder with --data, or set CAIRN_MASTER_KEY to that of the recovery kit',
  });
}

async function readMasterKey(config: Config): Promise<MasterKey | null> {
  const text = config.masterKey?.reveal() ?? (await readFileIfPresent(keyPath(config)));
  return text === null ? null : MasterKey.parse(text);
}

/**
 * The credentials are written before the catalog commits: there is never an administrator nobody
 * knows.
 */
async function writeCredentials(
  { catalog, config }: Ground,
  path: string,
  endpoint: string,
): Promise<boolean> {
  const made = await bootstrapIdentity({ catalog, random, clock }, async (credentials) => {
    const record = {
      endpoint,
      region: config.region,
      project_id: credentials.project.id,
      domain: credentials.domainName,
      user: credentials.userName,
      password: credentials.password.reveal(),
      access_key: credentials.accessKey,
      secret_key: credentials.secretKey.reveal(),
    };
    await writePrivateFile(path, `${JSON.stringify(record, null, 2)}\n`, random);
  });
  if (!made) await refreshEndpoint(path, endpoint);
  return made !== null;
}

/** The port may be another than last time. */
async function refreshEndpoint(path: string, endpoint: string): Promise<void> {
  const text = await readFileIfPresent(path);
  if (text === null) return;
  const record: unknown = JSON.parse(text);
  if (typeof record !== 'object' || record === null) return;
  if ('endpoint' in record && record.endpoint === endpoint) return;
  const refreshed = { ...record, endpoint };
  await writePrivateFile(path, `${JSON.stringify(refreshed, null, 2)}\n`, random);
}
