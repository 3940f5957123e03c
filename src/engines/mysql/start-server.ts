// Starts a server on a restored folder and waits until it takes queries. Ours is the way in by an
// account of our own, made by a file of statements that the server executes before it lets anybody
// in: production's passwords are not known here, and without its grant tables a server executes no
// `CREATE USER`. The account is dropped before the server is anybody's; where its file lies, a
// start was cut short.
import { mkdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import type { Secret } from '../../model/secret.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Random } from '../../platform/random.ts';
import {
  giveFile,
  makePrivate,
  prepareSocketFolder,
  removeSocketFolder,
} from '../../platform/server-folder.ts';
import type { RunningServer } from '../../platform/server-process.ts';
import { endProcess, launchServer } from '../../platform/server-process.ts';
import { throwIfAborted } from '../guard.ts';
import { withQueries } from './connection.ts';
import { configPathOf, dropSteps, stopSteps } from './managed-server.ts';
import type { ServerMode } from './server-config.ts';
import { formatServerConfig, serverArguments } from './server-config.ts';
import type { ServerFacts } from './server-facts.ts';
import { explainServerLog } from './server-log.ts';
import {
  dropServiceStatement,
  newServicePassword,
  serviceStatements,
  serviceUser,
} from './service-account.ts';

export type LaunchParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity | null;
  /** An option file with what only this machine knows, as where keys are; null for none. */
  readonly extraConfigFile: string | null;
};

export type LaunchedServer = {
  readonly process: RunningServer;
  readonly socketDir: string;
  /** Our own way in, with all rights; null where none was asked for. */
  readonly service: Connection | null;
};

/** A server that only we reach. */
export type IsolatedServer = {
  /** Over its private socket, with all rights. */
  readonly connection: Connection;
  /** Empty, private to the server's user, gone when the server is. */
  readonly scratchDir: string;
};

export type IsolatedOptions = {
  readonly managed: ManagedServer;
  readonly facts: ServerFacts;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

const pollIntervalMs = 100;
const socketName = 'mysql.sock';
/** What a crash has left to replay may take long. */
const readyTimeoutMs = 60 * 60_000;

export const logOf = ({ homeDir }: ManagedServer): string => join(homeDir, 'server.log');
const initFileOf = ({ homeDir }: ManagedServer): string => join(homeDir, 'service.sql');

/**
 * Starts a server that nobody else reaches, does the work and stops it cleanly. Nothing runs when
 * it answers, or throws. @throws engine-refused with the server's log, cancelled, the work's errors
 */
export async function withIsolatedServer<T>(
  options: IsolatedOptions,
  parts: LaunchParts,
  work: (server: IsolatedServer) => Promise<T>,
): Promise<T> {
  const { managed, signal } = options;
  const scratchDir = join(managed.homeDir, 'scratch');
  await makeFolder(scratchDir, parts.identity);
  const isolated = { ...options, mode: { kind: 'isolated' }, access: 'service' } as const;
  const launched = await launchOn(isolated, parts);
  try {
    const connection = serviceOf(launched);
    const refusal = await waitUntilReady({ ...options, launched, connection }, parts);
    if (refusal) throw refusal;
    const result = await work({ connection, scratchDir });
    await dropService(managed, connection, signal);
    await endProcess(launched.process.pid, parts.clock, stopSteps);
    return result;
  } finally {
    await dropServer(launched, parts);
    await rm(scratchDir, { recursive: true, force: true });
  }
}

export type LaunchOptions = IsolatedOptions & {
  readonly mode: ServerMode;
  readonly access: 'service' | 'none';
};

/** @throws engine-refused when the program cannot be run */
export async function launchOn(
  { managed, facts, mode, access, log }: LaunchOptions,
  { identity, random, extraConfigFile }: LaunchParts,
): Promise<LaunchedServer> {
  const { homeDir } = managed;
  const dataDir = await realpath(managed.dataDir);
  const socketDir = await prepareSocketFolder(homeDir, socketName, identity);
  const socketPath = join(socketDir, socketName);
  await makeFolder(join(homeDir, 'tmp'), identity);
  const initFile = access === 'service' ? initFileOf(managed) : null;
  const password = newServicePassword(random);
  if (initFile !== null) await writeFor(identity, initFile, serviceStatements(password));
  const configPath = configPathOf(managed);
  const { settings, serverId } = facts;
  const config = formatServerConfig({
    ...{ homeDir, socketPath, mode, settings, serverId, extraConfigFile, initFile },
    memoryBytes: totalmem(),
  });
  await writeFor(identity, configPath, config);
  log.info({ homeDir, mode: mode.kind, program: facts.program }, 'starting a restored server');
  const process = await launchServer({
    program: facts.program,
    args: serverArguments(configPath, dataDir, mode),
    ...{ cwd: dataDir, logPath: logOf(managed), identity },
  });
  const service = access === 'service' ? connectionTo(socketPath, password) : null;
  return { process, socketDir, service };
}

export type WaitOptions = IsolatedOptions & {
  readonly launched: LaunchedServer;
  readonly connection: Connection;
};

/**
 * Answers when the server has let the connection in, with null, or has refused it: with why.
 * @throws engine-refused with the server's log
 */
export async function waitUntilReady(
  { launched, connection, managed, signal }: WaitOptions,
  { clock }: LaunchParts,
): Promise<CairnError | null> {
  const deadlineMs = clock.monotonicMs() + readyTimeoutMs;
  for (;;) {
    throwIfAborted(signal);
    if (launched.process.hasExited()) throw await startFailure(managed, 'did not start');
    try {
      await withQueries(connection, { signal }, (query) => query('select 1'));
      return null;
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof CairnError)) throw error;
      if (error.kind === 'engine-refused') return error;
      if (error.kind !== 'engine-unreachable') throw error;
    }
    if (clock.monotonicMs() > deadlineMs) {
      throw await startFailure(managed, `was not ready after ${readyTimeoutMs / 60_000} minutes`);
    }
    await clock.sleep(pollIntervalMs, signal).catch(() => throwIfAborted(signal));
  }
}

/** The last thing that the account does. */
export async function dropService(
  managed: ManagedServer,
  service: Connection,
  signal: AbortSignal,
): Promise<void> {
  await withQueries(service, { signal }, async (query) => {
    await query('set sql_log_bin = 0');
    await query(dropServiceStatement);
  });
  await rm(initFileOf(managed), { force: true });
}

/** Whether an earlier start has died before the server was anybody's. */
export async function wasCutShort(managed: ManagedServer): Promise<boolean> {
  return await stat(initFileOf(managed)).then(
    () => true,
    () => false,
  );
}

/** After a failure: what runs is ended, whatever it was doing. */
export async function dropServer(
  { process, socketDir }: LaunchedServer,
  { clock }: LaunchParts,
): Promise<void> {
  if (!process.hasExited()) await endProcess(process.pid, clock, dropSteps);
  await removeSocketFolder(socketDir);
}

export function serviceOf({ service }: LaunchedServer): Connection {
  if (service === null) throw new CairnError('bug', 'the server was started without a way in');
  return service;
}

function connectionTo(socketPath: string, password: Secret): Connection {
  return {
    ...{ host: socketPath, port: 0, standbys: [], database: '', user: serviceUser, password },
    ...{ tls: 'disable', tlsCaPem: null },
  };
}

async function startFailure(managed: ManagedServer, what: string): Promise<CairnError> {
  const { reason, hint } = await explainServerLog(logOf(managed));
  return new CairnError('engine-refused', `the restored server ${what}: ${reason}`, { hint });
}

async function makeFolder(path: string, identity: Identity | null): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  await makePrivate(path, identity);
}

async function writeFor(identity: Identity | null, path: string, text: string): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  await giveFile(path, identity);
}
