// One schema, one loader: nobody else reads the environment. Every setting has a default that suits
// one machine.
import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CairnError } from '../model/errors.ts';
import { Secret } from '../model/secret.ts';
import { MiB } from '../model/units.ts';
import type { LogLevel } from '../platform/logger.ts';
import { logLevels } from '../platform/logger.ts';

export type Config = {
  /** Everything that Cairn keeps, unless a setting below says otherwise. */
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** How clients reach the API, for links; null: as each request says. */
  readonly publicUrl: string | null;
  readonly region: string;
  /** `sqlite:/path` or `postgres://…`. */
  readonly databaseUrl: Secret;
  /** `file:///path` or `s3://bucket/prefix?…`: `storage/storage-url.ts` parses it. */
  readonly storageUrl: string;
  /** Where copies of backups go; null: nowhere. */
  readonly offsite: { readonly url: string; readonly region: string } | null;
  /** 64 hex digits; null: the file `master.key` in the data folder. */
  readonly masterKey: Secret | null;
  /** Where servers live that a restore starts. */
  readonly serversDir: string;
  /** The user that such servers run as when Cairn runs as root. */
  readonly serverUser: string | null;
  /** Folders with PostgreSQL binaries, before the usual places. */
  readonly postgresqlBinDirs: readonly string[];
  readonly mysql: {
    /** Folders with programs of MySQL and MariaDB, before the usual places. */
    readonly binDirs: readonly string[];
    /** An option file that restored servers read first: where this machine has keys, for one. */
    readonly configFile: string | null;
  };
  readonly logLevel: LogLevel;
  /** Days that automated backups of a new instance are kept; 0: it makes none by itself. */
  readonly defaultKeepDays: number;
  /** Instances that each project may have; null: no limit. */
  readonly instanceQuota: number | null;
  readonly rateLimits: {
    /** Of one caller; null: no limit. */
    readonly requestsPerMinute: number | null;
    /** Token calls from one address; null: no limit. */
    readonly loginsPerMinute: number | null;
  };
  /** How long an object must have been unneeded before a prune deletes it. */
  readonly pruneGraceMs: number;
  readonly logArchive: {
    readonly isOn: boolean;
    /** Length of intervals, whatever the policies say; null: as they say. */
    readonly intervalMs: number | null;
  };
  /** A backup notes what is finished whenever it has stored so many bytes. */
  readonly checkpointBytes: number;
  /** How long a download can be begun with its link. */
  readonly linkLifetimeMs: number;
  readonly jobs: {
    readonly leaseMs: number;
    readonly retryDelayMs: number;
    readonly concurrency: number;
  };
};

export type ConfigOverrides = {
  readonly dataDir?: string | undefined;
  readonly listen?: string | undefined;
};

export type Environment = Readonly<Record<string, string | undefined>>;

export const defaultPort = 8635;

/** Command-line options win over the environment, which wins over the defaults. @throws invalid */
export function loadConfig(overrides: ConfigOverrides, environment: Environment): Config {
  const read = (name: string): string | null => environment[name] || null;
  const dataDir = resolve(overrides.dataDir ?? read('CAIRN_DATA') ?? defaultDataDir(environment));
  const listen = parseListen(
    overrides.listen ?? read('CAIRN_LISTEN') ?? `127.0.0.1:${defaultPort}`,
  );
  const masterKey = read('CAIRN_MASTER_KEY');
  const offsiteUrl = read('CAIRN_OFFSITE_STORAGE');
  const leaseMs = readNumber(environment, 'CAIRN_JOB_LEASE_MS', { min: 1_000, max: 600_000 });
  return {
    dataDir,
    ...listen,
    publicUrl: read('CAIRN_PUBLIC_URL')?.replace(/\/+$/, '') ?? null,
    region: read('CAIRN_REGION') ?? 'cairn',
    databaseUrl: new Secret(
      read('CAIRN_DATABASE_URL') ?? `sqlite:${join(dataDir, 'catalog.sqlite')}`,
    ),
    storageUrl: read('CAIRN_STORAGE') ?? pathToFileURL(join(dataDir, 'repository')).href,
    offsite:
      offsiteUrl === null
        ? null
        : { url: offsiteUrl, region: read('CAIRN_OFFSITE_REGION') ?? 'offsite' },
    masterKey: masterKey === null ? null : new Secret(masterKey),
    serversDir: resolve(read('CAIRN_SERVERS_DIR') ?? join(dataDir, 'servers')),
    serverUser: read('CAIRN_SERVER_USER'),
    postgresqlBinDirs: readFolders(environment, 'CAIRN_POSTGRESQL_BIN_DIRS'),
    mysql: {
      binDirs: readFolders(environment, 'CAIRN_MYSQL_BIN_DIRS'),
      configFile: read('CAIRN_MYSQL_CONFIG_FILE'),
    },
    logLevel: parseLevel(read('CAIRN_LOG_LEVEL') ?? 'info'),
    defaultKeepDays:
      readNumber(environment, 'CAIRN_DEFAULT_KEEP_DAYS', { min: 0, max: 3_660 }) ?? 7,
    instanceQuota:
      readNumber(environment, 'CAIRN_INSTANCE_QUOTA', { min: 0, max: 1_000_000 }) || null,
    rateLimits: {
      requestsPerMinute: readLimit(environment, 'CAIRN_RATE_LIMIT', 30_000),
      loginsPerMinute: readLimit(environment, 'CAIRN_LOGIN_RATE_LIMIT', 120),
    },
    pruneGraceMs:
      (readNumber(environment, 'CAIRN_PRUNE_GRACE_HOURS', { min: 1, max: 8_760 }) ?? 24) *
      3_600_000,
    logArchive: {
      isOn: readSwitch(environment, 'CAIRN_LOG_ARCHIVE'),
      intervalMs: readNumber(environment, 'CAIRN_LOG_INTERVAL_MS', { min: 1_000, max: 3_600_000 }),
    },
    checkpointBytes:
      (readNumber(environment, 'CAIRN_CHECKPOINT_MIB', { min: 1, max: 1_048_576 }) ?? 4_096) * MiB,
    linkLifetimeMs:
      (readNumber(environment, 'CAIRN_LINK_MINUTES', { min: 1, max: 1_440 }) ?? 15) * 60_000,
    jobs: {
      leaseMs: leaseMs ?? 30_000,
      retryDelayMs:
        readNumber(environment, 'CAIRN_JOB_RETRY_DELAY_MS', { min: 0, max: 3_600_000 }) ?? 5_000,
      concurrency: readNumber(environment, 'CAIRN_JOB_CONCURRENCY', { min: 1, max: 64 }) ?? 2,
    },
  };
}

/** The file that the command line reads its credentials from. */
export function credentialsPath(
  overrides: { readonly dataDir?: string | undefined },
  environment: Environment,
): string {
  if (overrides.dataDir !== undefined) return join(resolve(overrides.dataDir), 'credentials.json');
  if (environment['CAIRN_CREDENTIALS']) return resolve(environment['CAIRN_CREDENTIALS']);
  const dataDir = environment['CAIRN_DATA'] ?? defaultDataDir(environment);
  return join(resolve(dataDir), 'credentials.json');
}

/** Not below root's home: restored servers run as another user, who may not enter it. */
function defaultDataDir(environment: Environment): string {
  if (userInfo().uid === 0) return '/var/lib/cairn';
  const base = environment['XDG_DATA_HOME'] || join(homedir(), '.local', 'share');
  return join(base, 'cairn');
}

/** `HOST:PORT`, `[::1]:PORT` or a port alone. */
function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:(\[[0-9A-Fa-f:.]+\]|[^:]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port > 65_535) {
    throw new CairnError('invalid', `cannot listen on ${text}`, { hint: 'write HOST:PORT' });
  }
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}

function parseLevel(text: string): LogLevel {
  const level = logLevels.find((candidate) => candidate === text);
  if (level) return level;
  throw new CairnError('invalid', `CAIRN_LOG_LEVEL is ${text}`, {
    hint: `use one of ${logLevels.join(', ')}`,
  });
}

function readFolders(environment: Environment, name: string): readonly string[] {
  return environment[name]?.split(':').filter(Boolean) ?? [];
}

/** On unless it says `off`. */
function readSwitch(environment: Environment, name: string): boolean {
  const text = environment[name] || 'on';
  if (text === 'on' || text === 'off') return text === 'on';
  throw new CairnError('invalid', `${name} is ${text}`, { hint: 'write on or off' });
}

/** 0 is no limit. */
function readLimit(environment: Environment, name: string, usual: number): number | null {
  return (readNumber(environment, name, { min: 0, max: 1_000_000 }) ?? usual) || null;
}

function readNumber(
  environment: Environment,
  name: string,
  range: { readonly min: number; readonly max: number },
): number | null {
  const text = environment[name];
  if (!text) return null;
  const value = Number(text);
  if (Number.isInteger(value) && value >= range.min && value <= range.max) return value;
  throw new CairnError('invalid', `${name} is ${text}`, {
    hint: `give a whole number from ${range.min} to ${range.max}`,
  });
}
