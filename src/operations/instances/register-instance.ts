// Registering refuses a server that a backup could not be taken from: what is missing is told at
// once, not by the first backup that fails in the night.
import type { Finding } from '../../engines/engine.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { newInstanceId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { defaultPool } from '../../model/instance.ts';
import { isName, isShortName } from '../../model/names.ts';
import { idSource } from '../../platform/random.ts';
import type { RequestParts } from '../parts.ts';
import { emptyPolicy } from '../policy/get-policy.ts';
import { limitPolicy } from '../policy/policy-rules.ts';
import { checkConnection } from './check-connection.ts';
import { assertQuota } from './instance-quota.ts';
import type { ServerAddress } from './server-address.ts';
import { resolveServer } from './server-address.ts';

export type RegisterRequest = {
  readonly projectId: ProjectId;
  readonly name: string;
  readonly address: ServerAddress;
  /** Whose workers do its jobs; null for the default. */
  readonly pool: string | null;
};

export type RegisterResult =
  | {
      readonly outcome: 'registered';
      readonly instance: Instance;
      readonly findings: readonly Finding[];
    }
  /** Nothing was stored. The findings hold everything that was looked at, not only what blocks. */
  | {
      readonly outcome: 'refused';
      readonly error: CairnError;
      readonly findings: readonly Finding[];
    };

/** With the policy that new instances get. @throws invalid, conflict (name taken, quota reached) */
export async function registerInstance(
  parts: RequestParts,
  request: RegisterRequest,
): Promise<RegisterResult> {
  if (!isShortName(request.name)) throw invalidNameError(1);
  const server = resolveServer(request.address, parts.engines);
  const check = await checkConnection(parts.engines, server);
  if (!check.ready || !check.server) {
    return { outcome: 'refused', error: refusal(check.findings), findings: check.findings };
  }
  const now = parts.clock.now();
  const instance: Instance = {
    id: newInstanceId(idSource(parts.random), server.engine),
    projectId: request.projectId,
    name: request.name,
    engine: server.engine,
    state: { status: 'active' },
    connection: server.connection,
    serverVersion: check.server.serverVersion,
    systemIdentifier: check.server.systemIdentifier,
    managed: null,
    pool: request.pool ?? defaultPool,
    createdAt: now,
    updatedAt: now,
  };
  await insertNamed(request.name, () =>
    parts.catalog.transaction(async (tx) => {
      await assertQuota(tx, parts, request.projectId);
      await tx.instances.insert(instance);
      const none = emptyPolicy(request.projectId, instance.id, now);
      const policy = limitPolicy(parts.defaultPolicy, instance.engine);
      await tx.policies.put({ ...none, policy });
    }),
  );
  parts.log.info({ instanceId: instance.id, engine: instance.engine }, 'instance registered');
  return { outcome: 'registered', instance, findings: check.findings };
}

export function assertInstanceName(name: string): void {
  if (!isName(name)) throw invalidNameError(4);
}

function invalidNameError(lengthMin: number): CairnError {
  return new CairnError('invalid', 'the instance name is not valid', {
    reason: 'instance-name-invalid',
    hint: `use ${lengthMin} to 64 letters, digits, hyphens and underscores, a letter first`,
  });
}

/** Says in the words of the API that an insert found the name taken. */
export async function insertNamed<T>(name: string, insert: () => Promise<T>): Promise<T> {
  try {
    return await insert();
  } catch (error) {
    if (!isErrorKind(error, 'conflict') || error.reason !== null) throw error;
    throw new CairnError('conflict', `an instance named ${name} exists already`, {
      reason: 'instance-name-taken',
      cause: error,
    });
  }
}

/** What blocks, in one sentence. */
export function refusal(findings: readonly Finding[]): CairnError {
  const blocking = findings.filter((finding) => finding.severity === 'blocking');
  const kind = blocking.some(({ check }) => check === 'connection')
    ? 'engine-unreachable'
    : 'engine-refused';
  const text = blocking.map((finding) => finding.message).join('; ');
  return new CairnError(kind, `the server cannot be backed up: ${text}`, {
    reason: 'server-not-ready',
    ...(blocking.length === 1 && blocking[0]?.hint ? { hint: blocking[0].hint } : {}),
  });
}
