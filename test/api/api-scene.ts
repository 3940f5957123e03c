// A server on an empty SQLite catalog with one user, one project and a database driver that says
// what a test wants. Requests go through Fastify's inject: everything but the socket is real.
import type { LightMyRequestResponse } from 'fastify';
import type { ApiApp, ApiParts } from '../../src/api/api-parts.ts';
import { createApiServer } from '../../src/api/server.ts';
import type { Catalog, User } from '../../src/catalog/catalog.ts';
import type {
  ArchiveEntry,
  ArchiveLayout,
  EngineDriver,
  Finding,
  HostState,
  ServerInspection,
  SourceListing,
} from '../../src/engines/engine.ts';
import type { Backup } from '../../src/model/backup.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { UserId } from '../../src/model/ids.ts';
import { newUserId } from '../../src/model/ids.ts';
import type { Connection, Instance } from '../../src/model/instance.ts';
import type { Role } from '../../src/model/permission.ts';
import { Secret } from '../../src/model/secret.ts';
import { domainNameSetting } from '../../src/operations/identity/bootstrap-identity.ts';
import { issueToken } from '../../src/operations/identity/issue-token.ts';
import { hashPassword } from '../../src/operations/identity/passwords.ts';
import type { EngineDrivers } from '../../src/operations/parts.ts';
import type { Logger } from '../../src/platform/logger.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { idSource, systemRandom } from '../../src/platform/random.ts';
import type { Repository } from '../../src/repository/repository.ts';
import {
  openFreshSqlite,
  someBackupId,
  someInstanceId,
  someJobId,
  testProjectId,
} from '../fixtures/catalogs.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import type { Keys } from './sign-request.ts';

export const password = 'a-password-nobody-should-see';
export const keys: Keys = { accessKey: 'AKCAIRNTEST', secretKey: 'a-secret-key-nobody-should-see' };
export const projectId = testProjectId;

export type Call = {
  readonly body?: unknown;
  /** Sent as it is. */
  readonly payload?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Null: no login. */
  readonly token?: string | null;
};
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD' | 'OPTIONS' | 'PATCH';

export type ApiScene = {
  readonly app: ApiApp;
  readonly parts: ApiParts;
  readonly catalog: Catalog;
  readonly clock: ManualClock;
  readonly user: User;
  readonly token: string;
  readonly driver: FakeDriver;
  call(method: Method, url: string, call?: Call): Promise<LightMyRequestResponse>;
  /** `/backups` → `/v3/<project>/backups` */
  rds(path: string): string;
  cairn(path: string): string;
  /** A token for the test project of a new user with that role in it, and nowhere else. */
  tokenFor(role: Role): Promise<string>;
  addInstance(changes?: Partial<Instance>): Promise<Instance>;
  addBackup(instance: Instance, changes?: Partial<Backup>): Promise<Backup>;
  [Symbol.asyncDispose](): Promise<void>;
};

export async function openApiScene(
  options: {
    readonly log?: Logger;
    readonly repository?: Pick<Repository, 'openReader'>;
    /** Drivers besides that of PostgreSQL. */
    readonly engines?: EngineDrivers;
  } = {},
): Promise<ApiScene> {
  const clock = new ManualClock();
  const fresh = await openFreshSqlite({ clock });
  const { catalog } = fresh;
  const user = await addUser(catalog, clock);
  const driver = new FakeDriver();
  const parts: ApiParts = {
    catalog,
    engines: { postgresql: driver, ...options.engines },
    clock,
    random: systemRandom,
    log: options.log ?? silentLogger,
    publicUrl: null,
    rateLimits: { requestsPerMinute: null, loginsPerMinute: null },
    instanceQuota: null,
    defaultPolicy: { kind: 'off' },
    secondStorage: null,
    downloads: {
      repository: { openReader: neverHere, readContents: neverHere, ...options.repository },
      linkKey: Buffer.alloc(32, 7),
      linkLifetimeMs: 15 * 60_000,
    },
  };
  const app = createApiServer(parts);
  await app.ready();
  const token = await logIn(parts, user);
  return {
    ...{ app, parts, catalog, clock, user, token, driver },
    call: (method, url, call = {}) => inject(app, method, url, { token, ...call }),
    rds: (path) => `/v3/${projectId}${path}`,
    cairn: (path) => `/cairn/v1/${projectId}${path}`,
    tokenFor: (role) => tokenFor(parts, user, role),
    addInstance: (changes) => addInstance(catalog, clock, changes),
    addBackup: (instance, changes) => addBackup(catalog, clock, instance, changes),
    async [Symbol.asyncDispose]() {
      await app.close();
      await fresh[Symbol.asyncDispose]();
    },
  };
}

async function logIn(parts: ApiParts, user: User): Promise<string> {
  const issued = await issueToken(
    parts,
    { kind: 'password', user: { kind: 'id', id: user.id }, password: new Secret(password) },
    { kind: 'project-id', id: projectId },
  );
  return issued.text.reveal();
}

async function tokenFor(parts: ApiParts, like: User, role: Role): Promise<string> {
  const id = newUserId(idSource(systemRandom));
  const user: User = { ...like, id, name: `${role}-${++names}` };
  await parts.catalog.identity.insertUser(user);
  await parts.catalog.identity.setGrant({ userId: id, projectId, role });
  return await logIn(parts, user);
}

function inject(app: ApiApp, method: Method, url: string, call: Call) {
  const { body, payload, headers = {}, token } = call;
  return app.inject({
    method,
    url,
    headers: {
      ...(token ? { 'x-auth-token': token } : {}),
      ...(body === undefined && payload === undefined
        ? {}
        : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(payload !== undefined ? { payload } : {}),
    ...(body !== undefined ? { payload: JSON.stringify(body) } : {}),
  });
}

async function addUser(catalog: Catalog, clock: ManualClock): Promise<User> {
  const user: User = {
    id: 'fedcba9876543210fedcba9876543210' as UserId,
    name: 'admin',
    domainId: 'default',
    domainName: 'acme',
    passwordHash: await hashPassword(new Secret(password), systemRandom),
    createdAt: clock.now(),
  };
  await catalog.settings.ensure(domainNameSetting, user.domainName);
  await catalog.identity.insertUser(user);
  await catalog.identity.setGrant({ userId: user.id, projectId: null, role: 'owner' });
  const secretKey = new Secret(keys.secretKey);
  await catalog.identity.insertAccessKey({
    accessKey: keys.accessKey,
    secretKey,
    userId: user.id,
    createdAt: clock.now(),
  });
  return user;
}

let names = 0;

async function addInstance(
  catalog: Catalog,
  clock: ManualClock,
  changes: Partial<Instance> = {},
): Promise<Instance> {
  const instance: Instance = {
    id: someInstanceId(),
    projectId,
    name: `instance-${++names}`,
    engine: 'postgresql',
    state: { status: 'active' },
    connection: someConnection(),
    serverVersion: '16.4',
    systemIdentifier: '7300000000000000001',
    managed: null,
    pool: 'default',
    createdAt: clock.now(),
    updatedAt: clock.now(),
    ...changes,
  };
  await catalog.instances.insert(instance);
  return instance;
}

async function addBackup(
  catalog: Catalog,
  clock: ManualClock,
  instance: Instance,
  changes: Partial<Backup> = {},
): Promise<Backup> {
  const backup: Backup = {
    id: someBackupId(),
    projectId,
    instanceId: instance.id,
    instanceName: instance.name,
    engine: instance.engine,
    serverVersion: instance.serverVersion ?? '16.4',
    name: `backup-${++names}`,
    description: '',
    type: 'manual',
    databases: [],
    jobId: someJobId(),
    startedAt: clock.now(),
    state: {
      status: 'completed',
      endedAt: clock.now(),
      totals: { fileCount: 3, logicalBytes: 2_869_249, newBytes: 1000, storedBytes: 500 },
      startPosition: { engine: 'postgresql', timeline: 1, lsn: 0x3000028n },
      stopPosition: { engine: 'postgresql', timeline: 1, lsn: 0x3000100n },
    },
    ...changes,
  };
  await catalog.backups.insert(backup);
  return backup;
}

export function someConnection(): Connection {
  return {
    host: 'db.example.com',
    port: 5433,
    standbys: [],
    database: 'postgres',
    user: 'backup',
    password: new Secret(password),
    tls: 'require',
    tlsCaPem: null,
  };
}

export const warning: Finding = {
  check: 'wal_compression',
  severity: 'warning',
  message: 'wal_compression is off',
  hint: 'switch it on',
};
export const blocking: Finding = {
  check: 'wal_level',
  severity: 'blocking',
  message: 'wal_level is minimal',
  hint: 'set wal_level to replica and restart',
};

/** Inspects as told; nothing that an API process must not do is there to be called. */
export class FakeDriver implements EngineDriver {
  readonly engine = 'postgresql';
  readonly capabilities = {
    ...{ partialByDatabase: true, restoreToFolder: true, logArchive: true },
    ...{ standbys: true, ownServers: true, differential: false },
  };
  readonly seen: Connection[] = [];
  answer: Partial<ServerInspection> | CairnError = {};
  archiveTop: readonly ArchiveEntry[] = [];

  parseUrl(url: string): Connection {
    const { hostname, port, username, pathname, password: secret } = new URL(url);
    return {
      host: hostname,
      port: Number(port || 5432),
      standbys: [],
      database: pathname.slice(1) || 'postgres',
      user: username,
      password: secret === '' ? null : new Secret(secret),
      tls: 'prefer',
      tlsCaPem: null,
    };
  }

  async inspect(connection: Connection): Promise<ServerInspection> {
    this.seen.push(connection);
    if (this.answer instanceof CairnError) throw this.answer;
    return {
      serverVersion: '16.4',
      majorVersion: '16',
      systemIdentifier: '7300000000000000001',
      sizeBytes: 1_000_000,
      findings: [warning],
      ...this.answer,
    };
  }

  hosts: readonly HostState[] = [];

  async lookAtHosts(): Promise<readonly HostState[]> {
    return this.hosts;
  }

  takeBaseBackup = neverHere;
  missingDatabases: readonly string[] | CairnError = [];

  async findMissingDatabases(): Promise<readonly string[]> {
    if (this.missingDatabases instanceof CairnError) throw this.missingDatabases;
    return this.missingDatabases;
  }

  takeLogicalBackup = neverHere;
  logicalFiles = (): null => null;
  importCommands = (): readonly string[] => [];
  restoreDatabases = neverHere;
  copyDatabases = neverHere;
  copyTables = neverHere;
  followLog = neverHere;
  releaseLog = neverHere;
  releaseLogByHand = (keeperName: string): string => keeperName;
  restoreFolder = neverHere;
  startRestored = neverHere;
  prepareRestored = neverHere;
  fetchLog = neverHere;
  startManaged = neverHere;

  archiveLayout(source: SourceListing): ArchiveLayout {
    const files = source
      .files()
      .map((file): ArchiveEntry => ({ kind: 'file', path: `data/${file.path}`, source: file }));
    return { owner: 'postgres', entries: [...this.archiveTop, ...files] };
  }

  canStartManaged = neverHere;
  findServerBinaries = neverHere;
  isManagedRunning = neverHere;
  stopManaged = neverHere;
}

async function neverHere(): Promise<never> {
  throw new Error('an API process never calls this');
}
