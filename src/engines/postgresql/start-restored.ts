// A backup becomes a running server: restore, settle, start, prove. The server is reached first
// over its private socket, then as clients will reach it; only then is it handed out.
import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { Secret } from '../../model/secret.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import type { ServerStartOptions, StartedServer } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';
import { withQueries } from './connection.ts';
import { launchServer, removeSocketFolder, stopProcess, waitUntilReady } from './managed-server.ts';
import { restoreFiles } from './restore.ts';
import { setRolePassword } from './role-password.ts';
import { majorOf } from './server-binaries.ts';
import { formatConfig, planServerArguments } from './server-config.ts';
import { prepareHome, prepareSocketFolder, settleFiles } from './server-home.ts';

export type StartParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity | null;
  readonly binDir: string;
};

/** Recovery replays only the WAL of the backup's own range. */
const readyTimeoutMs = 60 * 60_000;
const passwordBytes = 18;

type Layout = {
  readonly homeDir: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly logPath: string;
  readonly port: number;
};

/** @throws invalid, engine-refused with the server's log, repository-damaged, cancelled */
export async function startRestored(
  options: ServerStartOptions,
  parts: StartParts,
): Promise<StartedServer> {
  const { source, signal, log } = options;
  const notes = parseNotes(source.notes);
  const port = await choosePort(options.port);
  const homeDir = await prepareHome(options.homeDir, parts.identity);
  const dataDir = join(homeDir, 'data');
  const plan = await restoreFiles({
    source,
    targetDir: dataDir,
    tablespaceDirs: {},
    tablespaceParentDir: join(homeDir, 'tablespaces'),
    onProgress: (doneBytes, totalBytes) => options.onProgress('restoring', doneBytes, totalBytes),
    signal,
  });
  options.onProgress('starting', plan.totalBytes, plan.totalBytes);
  const socketDir = await prepareSocketFolder(homeDir, port, parts.identity);
  const layout = { homeDir, dataDir, socketDir, port, logPath: join(homeDir, 'server.log') };
  const args = await configure(layout, notes, options, parts);
  log.info({ homeDir, port, binDir: parts.binDir }, 'starting the restored server');
  const server = await launchServer({ ...parts, dataDir, args, logPath: layout.logPath });
  try {
    const connection = await prove(layout, server, options, parts);
    return {
      managed: { homeDir, dataDir, binDir: parts.binDir },
      connection,
      ...(await identify(connection, signal)),
    };
  } catch (error) {
    if (!server.hasExited()) await stopProcess(server.pid, parts.clock, ['SIGQUIT', 'SIGKILL']);
    await removeSocketFolder(socketDir);
    throw error;
  }
}

/** Writes what lies beside the data folder and answers the arguments of the server. */
async function configure(
  layout: Layout,
  notes: PostgresNotes,
  options: ServerStartOptions,
  parts: StartParts,
): Promise<string[]> {
  const { homeDir, dataDir } = layout;
  const hasOwnConfig = await stat(join(dataDir, 'postgresql.conf')).then(
    () => true,
    () => false,
  );
  if (!hasOwnConfig) {
    await writeFile(join(homeDir, 'postgresql.conf'), formatConfig(notes), { mode: 0o600 });
  }
  await settleFiles(homeDir, dataDir, parts.identity);
  return planServerArguments({
    ...layout,
    notes,
    hasOwnConfig,
    major: Number(majorOf(options.source.serverVersion)),
    memoryBytes: totalmem(),
  });
}

/** Waits for the server, then logs in over TCP as clients will. */
async function prove(
  layout: Layout,
  server: Awaited<ReturnType<typeof launchServer>>,
  options: ServerStartOptions,
  parts: StartParts,
): Promise<Connection> {
  const { signal, sourceConnection } = options;
  const local: Connection = {
    ...sourceConnection,
    host: layout.socketDir,
    port: layout.port,
    password: null,
    tls: 'disable',
    tlsCaPem: null,
  };
  const { clock } = parts;
  const major = majorOf(options.source.serverVersion);
  const wait = { server, connection: local, logPath: layout.logPath, major, clock, signal };
  await waitUntilReady({ ...wait, timeoutMs: readyTimeoutMs });
  const password = sourceConnection.password ?? new Secret(parts.random.hex(passwordBytes));
  const outside: Connection = { ...local, host: '127.0.0.1', password };
  const isAccepted = sourceConnection.password !== null && (await canLogIn(outside, signal));
  if (!isAccepted) {
    // None is known, or it was changed after the backup was taken: the restored role gets this one.
    await withQueries(local, { signal }, (query) =>
      setRolePassword(query, local.user, password.reveal(), parts.random),
    );
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

/** Zero: one that is free now. @throws conflict */
async function choosePort(wanted: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', (cause) => {
      const text = `port ${wanted} on 127.0.0.1 cannot be used: ${cause.message}`;
      reject(new CairnError('conflict', text, { hint: 'choose another port', cause }));
    });
    probe.listen({ port: wanted, host: '127.0.0.1', exclusive: true }, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : wanted;
      probe.close(() => resolve(port));
    });
  });
}
