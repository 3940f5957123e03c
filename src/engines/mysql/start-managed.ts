// Starts a server of ours and proves it: it is reached first over its private socket, then as
// clients will reach it; only then is it handed out.

import { CairnError } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import { Secret } from '../../model/secret.ts';
import { choosePort } from '../../platform/free-port.ts';
import type { ManagedStartOptions, StartedServer } from '../engine.ts';
import { withQueries } from './connection.ts';
import { findServer, stopManagedServer } from './managed-server.ts';
import type { ServerFacts } from './server-facts.ts';
import { readServerFacts } from './server-facts.ts';
import { readFlavor, readSystemIdentifier } from './server-identity.ts';
import { ensureAccount } from './service-account.ts';
import type { LaunchedServer, LaunchParts } from './start-server.ts';
import {
  dropServer,
  dropService,
  launchOn,
  serviceOf,
  waitUntilReady,
  wasCutShort,
} from './start-server.ts';

const passwordBytes = 18;

/** @throws conflict, engine-refused with the server's log, cancelled */
export async function startManaged(
  managed: ManagedServer,
  options: ManagedStartOptions,
  parts: LaunchParts,
): Promise<StartedServer> {
  const facts = await readServerFacts(managed.homeDir);
  const running = await findUsable(managed, options, parts);
  if (running) return { managed, connection: running, ...(await identify(running, options)) };
  const port = await choosePort(options.port);
  const access = options.rolePassword === 'keep' ? 'none' : 'service';
  const launched = await launchOn(
    { ...options, managed, facts, access, mode: { kind: 'open', port } },
    parts,
  );
  try {
    const connection = await prove({ managed, facts, launched, port }, options, parts);
    return { managed, connection, ...(await identify(connection, options)) };
  } catch (error) {
    await dropServer(launched, parts);
    throw error;
  }
}

/**
 * Who to reach a server as that runs already; null when none does, which one is made sure of: what
 * was left by a start that was cut short, or that does not let its user in, is stopped.
 * @throws conflict when it listens elsewhere than asked for
 */
async function findUsable(
  managed: ManagedServer,
  options: ManagedStartOptions,
  { clock }: LaunchParts,
): Promise<Connection | null> {
  const found = await findServer(managed.dataDir);
  if (!found) return null;
  const { port } = found;
  if (port !== null && !(await wasCutShort(managed))) {
    if (options.port !== 0 && options.port !== port) {
      throw new CairnError('conflict', `the server runs already, on port ${port}`, {
        hint: `stop it first, or ask for port ${port}`,
      });
    }
    if (options.rolePassword === 'keep') return { ...options.connection, port };
    const outside = outsideOf(options.connection, port);
    if (outside.password !== null && (await canLogIn(outside, options))) return outside;
  }
  options.log.info({ pid: found.pid }, 'stopping a server that an earlier start has left');
  await stopManagedServer(managed, clock, options.signal);
  return null;
}

type ProveInput = {
  readonly managed: ManagedServer;
  readonly facts: ServerFacts;
  readonly launched: LaunchedServer;
  readonly port: number;
};

/** Waits for the server, then logs in over TCP as clients will. */
async function prove(
  { managed, facts, launched, port }: ProveInput,
  options: ManagedStartOptions,
  parts: LaunchParts,
): Promise<Connection> {
  const { connection, rolePassword, signal } = options;
  const wait = { ...options, managed, facts, launched };
  // Its own users are none of our business: that it answers is proof enough.
  if (rolePassword === 'keep') {
    await waitUntilReady({ ...wait, connection: { ...connection, port } }, parts);
    return { ...connection, port };
  }
  const service = serviceOf(launched);
  const refusal = await waitUntilReady({ ...wait, connection: service }, parts);
  if (refusal) throw refusal;
  const password = connection.password ?? new Secret(parts.random.hex(passwordBytes));
  const outside = { ...outsideOf(connection, port), password };
  const isAccepted = connection.password !== null && (await canLogIn(outside, options));
  if (!isAccepted) {
    // None is known, or it was changed after the backup was taken: the restored user gets this one.
    const account = { user: outside.user, password, mode: rolePassword };
    await withQueries(service, { signal }, (query) => ensureAccount(query, account));
    await identify(outside, options);
  }
  await dropService(managed, service, signal);
  return outside;
}

function outsideOf(connection: Connection, port: number): Connection {
  const plain = { tls: 'disable', tlsCaPem: null, standbys: [] } as const;
  return { ...connection, ...plain, host: '127.0.0.1', port };
}

type Waiting = Pick<ManagedStartOptions, 'signal'>;

async function canLogIn(connection: Connection, { signal }: Waiting): Promise<boolean> {
  try {
    await withQueries(connection, { signal }, (query) => query('select 1'));
    return true;
  } catch (error) {
    if (error instanceof CairnError && isAccessDenied(error)) return false;
    throw error;
  }
}

/** Whatever is wrong with the account: unknown here, another password, locked, TLS only. */
function isAccessDenied({ kind, details }: CairnError): boolean {
  const codes = [
    'ER_ACCESS_DENIED_ERROR',
    'ER_ACCESS_DENIED_NO_PASSWORD_ERROR',
    'ER_HOST_NOT_PRIVILEGED',
    'ER_ACCOUNT_HAS_BEEN_LOCKED',
    'ER_MUST_CHANGE_PASSWORD_LOGIN',
  ];
  return kind === 'engine-refused' && codes.includes(String(details['code']));
}

async function identify(
  connection: Connection,
  { signal }: Waiting,
): Promise<{ serverVersion: string; systemIdentifier: string }> {
  return await withQueries(connection, { signal }, async (query) => {
    const { serverVersion, flavor } = await readFlavor(query);
    return { serverVersion, systemIdentifier: await readSystemIdentifier(query, flavor) };
  });
}
