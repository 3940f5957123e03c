// The inspection of an instance with standbys: the primary is looked at as any server is, each
// standby as well, but what it lacks is in nobody's way while there is the primary. What is: a
// server of another system, and a second primary.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Finding, ServerInspection } from '../engine.ts';
import { toConnectionError } from './connection-error.ts';
import type { HostLook } from './host-look.ts';
import { lagMsOf, lookAtAll } from './host-look.ts';
import { primariesOf, refuseStandby, splitError } from './plan-hosts.ts';
import { inspectServer } from './server-info.ts';

/** @throws engine-unreachable, engine-refused (login) when no server can be spoken to */
export async function inspectHosts(
  connection: Connection,
  signal: AbortSignal,
): Promise<ServerInspection> {
  if (connection.standbys.length === 0) return await inspectServer(connection, signal);
  const looks = await lookAtAll(connection, { signal });
  const [primary] = primariesOf(looks);
  const main = primary ?? looks.find(({ found }) => found.kind === 'standby') ?? looks[0];
  if (!main) throw new CairnError('bug', 'a connection without a host');
  const inspection = await inspectServer(main.connection, signal);
  const others = looks.filter(({ name }) => name !== main.name);
  const found = await Promise.all(others.map((look) => inspectOther(look, signal)));
  return {
    ...inspection,
    findings: [...inspection.findings, ...planHostFindings(looks), ...found.flat()],
  };
}

/** What is wrong with a further server, named; nothing of it blocks. */
async function inspectOther(
  { name, connection, found }: HostLook,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  if (found.kind === 'unknown') return [];
  const { findings } = await inspectServer(connection, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    const { message, hint } = toConnectionError(error, connection);
    return { findings: [{ check: 'connection', severity: 'warning', message, hint } as const] };
  });
  return findings
    .filter(({ check, severity }) => severity !== 'fine' && check !== 'recovery')
    .map((each) => ({ ...each, severity: 'warning', message: `${name}: ${each.message}` }));
}

/** What each server is; pure. */
export function planHostFindings(looks: readonly HostLook[]): readonly Finding[] {
  const primaries = primariesOf(looks);
  const known = primaries[0]?.found ?? looks.find(({ found }) => found.kind === 'standby')?.found;
  const systemIdentifier = known && known.kind !== 'unknown' ? known.systemIdentifier : null;
  const findings = looks.map((look) => describeHost(look, looks, systemIdentifier));
  if (primaries.length > 1) {
    const { message, hint } = splitError(primaries);
    findings.push({ check: 'primary', severity: 'blocking', message, hint });
  }
  if (primaries.length === 0) {
    const message = 'no server is a primary: no log is archived';
    const hint = 'promote a standby, or add the primary to the connection';
    findings.push({ check: 'primary', severity: 'warning', message, hint });
  }
  return findings;
}

function describeHost(
  { name, found }: HostLook,
  looks: readonly HostLook[],
  systemIdentifier: string | null,
): Finding {
  const check = 'host';
  if (found.kind === 'unknown') {
    const { message, hint } = found.error;
    return { check, severity: 'warning', message: `${name} cannot be asked: ${message}`, hint };
  }
  if (found.systemIdentifier !== systemIdentifier) {
    const message = `${name} is of another system: its identifier is ${found.systemIdentifier}`;
    const hint = 'name only servers that replicate each other; register others by themselves';
    return { check: 'system-identifier', severity: 'blocking', message, hint };
  }
  if (found.kind === 'primary') {
    const message = `${name} is the primary, on timeline ${found.timeline}`;
    return { check, severity: 'fine', message, hint: null };
  }
  const [primary] = primariesOf(looks);
  const lagMs = lagMsOf(found, primary?.found ?? null);
  const lag = lagMs === null ? 'an unknown time' : `${Math.round(lagMs / 1000)} s`;
  const message = `${name} is a standby, ${lag} behind`;
  const refusal = refuseStandby(found, primary);
  if (refusal === null) return { check, severity: 'fine', message, hint: null };
  const hint = 'backups are taken from another server meanwhile';
  return { check, severity: 'warning', message: `${message}: ${refusal}`, hint };
}
