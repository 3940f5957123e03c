// The connection test: what a backup will need is looked at before anything is stored, and every
// finding is kept, so that the reader mends all of them in one go.
import type { Finding, ServerInspection } from '../../engines/engine.ts';
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { deadlineSignal, untilAborted } from '../../platform/deadline.ts';
import type { EngineDrivers, RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import { getInstance } from './get-instance.ts';
import type { Server, ServerAddress } from './server-address.ts';
import { resolveServer } from './server-address.ts';

export const inspectTimeoutMs = 15_000;

export type ConnectionCheck = {
  /** No finding is blocking: backups can be taken. */
  readonly ready: boolean;
  /** Null when the server could not be spoken to; one finding then says why. */
  readonly server: Omit<ServerInspection, 'findings'> | null;
  readonly findings: readonly Finding[];
};

/** Tests a server without registering it. @throws invalid for an address that is none */
export async function checkServer(
  parts: Pick<RequestParts, 'engines'>,
  address: ServerAddress,
): Promise<ConnectionCheck> {
  return await checkConnection(parts.engines, resolveServer(address, parts.engines));
}

/**
 * Tests a registered instance and keeps what the server now says of itself. @throws not-found,
 * conflict
 */
export async function checkInstance(
  parts: Pick<RequestParts, 'catalog' | 'engines' | 'clock'>,
  projectId: ProjectId,
  id: InstanceId,
): Promise<ConnectionCheck> {
  const instance = await getInstance(parts.catalog, projectId, id);
  const { connection, engine } = instance;
  if (instance.state.status !== 'active' || !connection) {
    throw new CairnError('conflict', `instance ${instance.name} is not active`, {
      reason: 'instance-not-active',
    });
  }
  const check = await checkConnection(parts.engines, { engine, connection });
  if (!check.server) return check;
  const findings = [...check.findings, ...compareIdentity(instance, check.server)];
  if (findings.length === check.findings.length) await keepVersion(parts, instance, check.server);
  return { ...check, findings, ready: !hasBlocking(findings) };
}

/** Never throws for what the server says or fails to say: that becomes a finding. */
export async function checkConnection(
  engines: EngineDrivers,
  { engine, connection }: Server,
): Promise<ConnectionCheck> {
  const driver = driverFor(engines, engine);
  const signal = deadlineSignal(inspectTimeoutMs);
  try {
    const inspection = await untilAborted(driver.inspect(connection, signal), signal);
    const { findings, ...server } = inspection;
    return { ready: !hasBlocking(findings), server, findings };
  } catch (error) {
    return { ready: false, server: null, findings: [explainFailure(error, signal)] };
  }
}

function explainFailure(error: unknown, signal: AbortSignal): Finding {
  if (signal.aborted) {
    return {
      check: 'connection',
      severity: 'blocking',
      message: `no answer within ${inspectTimeoutMs / 1000} s`,
      hint: 'check host, port and firewall between this machine and the server',
    };
  }
  const failure = toCairnError(error);
  if (failure.kind !== 'engine-unreachable' && failure.kind !== 'engine-refused') throw failure;
  return {
    check: failure.kind === 'engine-unreachable' ? 'connection' : 'login',
    severity: 'blocking',
    message: failure.message,
    hint: failure.hint,
  };
}

/** Blocking when another server answers than the one that was registered. */
export function compareIdentity(
  instance: Instance,
  server: Pick<ServerInspection, 'systemIdentifier'>,
): readonly Finding[] {
  const known = instance.systemIdentifier;
  if (known === null || known === server.systemIdentifier) return [];
  return [
    {
      check: 'system-identifier',
      severity: 'blocking',
      message: `another server answers: its identifier is ${server.systemIdentifier}, not ${known}`,
      hint: 'register the new server as an instance of its own',
    },
  ];
}

async function keepVersion(
  parts: Pick<RequestParts, 'catalog' | 'clock'>,
  instance: Instance,
  { serverVersion, systemIdentifier }: Omit<ServerInspection, 'findings'>,
): Promise<void> {
  if (instance.serverVersion === serverVersion && instance.systemIdentifier === systemIdentifier) {
    return;
  }
  await parts.catalog.transaction(async (tx) => {
    const current = await tx.instances.get(instance.projectId, instance.id);
    const updatedAt = parts.clock.now();
    await tx.instances.update({ ...current, serverVersion, systemIdentifier, updatedAt });
  });
}

function hasBlocking(findings: readonly Finding[]): boolean {
  return findings.some((finding) => finding.severity === 'blocking');
}
