// Starts a server of ours and proves it: it is reached first over its private socket, then as
// clients will reach it; only then is it handed out.
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { isErrorKind } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import { Secret } from '../../model/secret.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import { choosePort } from '../../platform/free-port.ts';
import type { Random } from '../../platform/random.ts';
import { prepareSocketFolder, removeSocketFolder } from '../../platform/server-folder.ts';
import type { RunningServer } from '../../platform/server-process.ts';
import { isAlive } from '../../platform/server-process.ts';
import type { ManagedStartOptions, StartedServer } from '../engine.ts';
import { withQueries } from './connection.ts';
import { launchServer, stopProcess, waitUntilReady } from './managed-server.ts';
import { findPostmaster } from './postmaster-file.ts';
import { ensureRole, setRolePassword } from './role-password.ts';
import { majorOf } from './server-binaries.ts';
import { planServerArguments } from './server-config.ts';
import type { ServerFacts } from './server-facts.ts';
import { readServerFacts } from './server-facts.ts';
import { socketNameOf } from './server-home.ts';

export type ManagedStartParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity | null;
};

/** Recovery replays only the WAL of the backup's own range. */
const readyTimeoutMs = 60 * 60_000;
const passwordBytes = 18;

type Launched = {
  readonly server: RunningServer;
  readonly socketDir: string;
  readonly port: number;
};

/** @throws conflict, engine-refused with the server's log, cancelled */
export async function startManaged(
  managed: ManagedServer,
  options: ManagedStartOptions,
  parts: ManagedStartParts,
): Promise<StartedServer> {
  const facts = await readServerFacts(managed.homeDir);
  const found = await findRunning(managed, options.port);
  const launched = found ?? (await launch(managed, facts, options, parts));
  const { server, socketDir } = launched;
  try {
    const connection = await prove(managed, launched, facts, options, parts);
    return { managed, connection, ...(await identify(connection, options.signal)) };
  } catch (error) {
    if (!server.hasExited()) await stopProcess(server.pid, parts.clock, ['SIGQUIT', 'SIGKILL']);
    await removeSocketFolder(socketDir);
    throw error;
  }
}

async function findRunning({ dataDir }: ManagedServer, port: number): Promise<Launched | null> {
  const postmaster = await findPostmaster(dataDir);
  // It was asked to listen on this port when it was started: nobody else starts servers of ours.
  if (!postmaster || port === 0) return null;
  const { pid, socketDir } = postmaster;
  return { server: { pid, hasExited: () => !isAlive(pid) }, socketDir, port };
}

async function launch(
  managed: ManagedServer,
  { notes, serverVersion, hasOwnConfig }: ServerFacts,
  options: ManagedStartOptions,
  parts: ManagedStartParts,
): Promise<Launched> {
  const { homeDir, dataDir, binDir } = managed;
  const port = await choosePort(options.port);
  const socketDir = await prepareSocketFolder(homeDir, socketNameOf(port), parts.identity);
  const args = planServerArguments({
    ...{ homeDir, dataDir, socketDir, port, notes, hasOwnConfig },
    major: Number(majorOf(serverVersion)),
    memoryBytes: totalmem(),
  });
  options.log.info({ homeDir, port, binDir }, 'starting the restored server');
  const server = await launchServer({ ...parts, binDir, dataDir, args, logPath: logOf(managed) });
  return { server, socketDir, port };
}

const logOf = ({ homeDir }: ManagedServer): string => join(homeDir, 'server.log');

/** Waits for the server, then logs in over TCP as clients will. */
async function prove(
  managed: ManagedServer,
  { server, socketDir, port }: Launched,
  { serverVersion, notes }: ServerFacts,
  { connection, rolePassword, signal }: ManagedStartOptions,
  { clock, random }: ManagedStartParts,
): Promise<Connection> {
  const plain = { password: null, tls: 'disable', tlsCaPem: null, standbys: [] } as const;
  // The role may not be there yet; over the socket the superuser needs no password.
  const user = rolePassword === 'create' ? notes.superuser : connection.user;
  const local: Connection = { ...connection, ...plain, user, host: socketDir, port };
  const wait = { server, connection: local, logPath: logOf(managed), clock, signal };
  const major = majorOf(serverVersion);
  await waitUntilReady({ ...wait, major, timeoutMs: readyTimeoutMs });
  // Its own roles are none of our business: that it answers over its socket is proof enough.
  if (rolePassword === 'keep') return connection;
  const password = connection.password ?? new Secret(random.hex(passwordBytes));
  const outside = { ...local, user: connection.user, host: '127.0.0.1', password };
  const isAccepted = connection.password !== null && (await canLogIn(outside, signal));
  if (!isAccepted) {
    // None is known, or it was changed after the backup was taken: the restored role gets this one.
    await withQueries(local, { signal }, async (query) => {
      if (rolePassword === 'create') await ensureRole(query, outside.user);
      await setRolePassword(query, outside.user, password.reveal(), random);
    });
    await identify(outside, signal);
  }
  return outside;
}

async function canLogIn(connection: Connection, signal: AbortSignal): Promise<boolean> {
  try {
    await identify(connection, signal);
    return true;
  } catch (error) {
    if (isErrorKind(error, 'engine-refused') && error.details.code === '28P01') return false;
    throw error;
  }
}

async function identify(
  connection: Connection,
  signal: AbortSignal,
): Promise<{ serverVersion: string; systemIdentifier: string }> {
  return await withQueries(connection, { signal }, async (query) => {
    const [row] = await query(
      `select split_part(current_setting('server_version'), ' ', 1) as version,
        (select system_identifier::text from pg_control_system()) as id`,
    );
    return { serverVersion: String(row?.version), systemIdentifier: String(row?.id) };
  });
}
