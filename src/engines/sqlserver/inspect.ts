// What there is to say of a server before it is backed up; nothing is changed on it.

import type { Connection } from '../../model/instance.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { HostState, ServerInspection } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { readReplicas } from './always-on.ts';
import type { Ground } from './ground.ts';
import { lookAtExchange } from './inspect-exchange.ts';
import { readFacts } from './inspect-facts.ts';
import { serverVersionOf } from './plan-edition.ts';
import { planFindings } from './server-findings.ts';
import { readServerInfo, systemIdentifierOf } from './server-info.ts';
import { openSession } from './session.ts';

/** @throws engine-unreachable, engine-refused (login) */
export async function inspectServer(
  connection: Connection,
  signal: AbortSignal,
  ground: Ground,
): Promise<ServerInspection> {
  await using session = await openSession(connection, { signal });
  const facts = await readFacts(session, signal);
  const { info, rights, databases } = facts;
  const exchange = await lookAtExchange({ session, connection, ground, rights, signal });
  const serverVersion = serverVersionOf(info.version, info);
  return {
    serverVersion,
    majorVersion: majorVersion('sqlserver', serverVersion),
    systemIdentifier: systemIdentifierOf(info),
    sizeBytes: databases
      .filter(({ isSnapshot }) => !isSnapshot)
      .reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
    findings: planFindings({ host: connection.host, facts, exchange }),
  };
}

/**
 * A standby is a server all of whose replicas are secondary ones; each database of a group can have
 * another role. @throws the signal's reason only
 */
export async function lookAtHost(connection: Connection, signal: AbortSignal): Promise<HostState> {
  const { host, port } = connection;
  try {
    await using session = await openSession(connection, { signal });
    const { isHadrEnabled } = await readServerInfo(session, signal);
    const replicas = isHadrEnabled ? await readReplicas(session, signal) : [];
    const isStandby = replicas.length > 0 && replicas.every(({ role }) => role === 'secondary');
    if (!isStandby) return { host, port, role: 'primary', timeline: null };
    const isStreaming = replicas.every(({ isSuspended }) => !isSuspended);
    return { host, port, role: 'standby', timeline: null, isStreaming, lagMs: null };
  } catch (error) {
    throwIfAborted(signal);
    const problem = error instanceof Error ? error.message : String(error);
    return { host, port, role: 'unknown', problem };
  }
}
