// Another address, password or certificate for a registered server: looked at as a registration is,
// and stored only when backups can be taken with it.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Finding } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { checkConnection, compareIdentity } from './check-connection.ts';
import { getInstance } from './get-instance.ts';
import type { RegisterResult } from './register-instance.ts';
import { refusal } from './register-instance.ts';
import type { ServerAddress } from './server-address.ts';
import { resolveServer } from './server-address.ts';

/**
 * The server must be the one that the backups are of, by its own identifier. An instance that was
 * known from its backups only becomes active.
 * @throws not-found; invalid for an address that is none; conflict while a job uses the connection,
 *   or when Cairn itself runs the server
 */
export async function updateConnection(
  parts: Pick<RequestParts, 'catalog' | 'engines' | 'clock' | 'log'>,
  projectId: ProjectId,
  request: { readonly instanceId: InstanceId; readonly address: ServerAddress },
): Promise<RegisterResult> {
  const { catalog, engines, clock } = parts;
  const known = await getInstance(catalog, projectId, request.instanceId);
  assertOfUser(known);
  const server = resolveServer(request.address, engines);
  if (server.engine !== known.engine) {
    throw new CairnError('invalid', `${known.name} is ${known.engine}, not ${server.engine}`, {
      reason: 'engine-mismatch',
    });
  }
  await assertFree(catalog, known);
  const check = await checkConnection(engines, server);
  const strangers = check.server ? compareIdentity(known, check.server) : [];
  const findings: readonly Finding[] = [...check.findings, ...strangers];
  if (!check.ready || !check.server || strangers.length > 0) {
    return { outcome: 'refused', error: refusal(findings), findings };
  }
  const { serverVersion, systemIdentifier } = check.server;
  const instance = await catalog.transaction(async (tx) => {
    const current = await getInstance(tx, projectId, known.id);
    assertOfUser(current);
    await assertFree(tx, current);
    const changed: Instance = {
      ...current,
      ...{ connection: server.connection, serverVersion, systemIdentifier },
      state: { status: 'active' },
      updatedAt: clock.now(),
    };
    await tx.instances.update(changed);
    return changed;
  });
  parts.log.info({ instanceId: instance.id }, 'connection updated');
  return { outcome: 'registered', instance, findings };
}

/** Address and password of a server that a restore has started are Cairn's own. */
function assertOfUser({ name, managed, state }: Instance): void {
  const isOther = state.status !== 'active' && state.status !== 'failed';
  if (!managed && !isOther) return;
  const text = managed ? 'a server that Cairn started' : `${state.status}, not active`;
  throw new CairnError('conflict', `instance ${name} is ${text}`, {
    reason: 'instance-not-active',
    hint: 'only the connection of a registered server can be changed',
  });
}

async function assertFree(tx: CatalogSession, { id, name }: Instance): Promise<void> {
  const kinds: readonly string[] = [
    ...[jobKinds.backup, jobKinds.restore, jobKinds.restoreInPlace, jobKinds.removeInstance],
    ...[jobKinds.restoreDatabases, jobKinds.restoreParts],
  ];
  const busy = (await tx.jobs.listOpen(id)).find(({ kind }) => kinds.includes(kind));
  if (!busy) return;
  throw new CairnError('conflict', `a ${busy.kind} job of instance ${name} is not done`, {
    reason: 'instance-busy',
    hint: 'wait until its job has ended, or cancel it',
  });
}
