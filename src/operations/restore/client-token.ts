// A client that does not know whether its request arrived sends it again with the same token: it
// must get the instance that the first one made, never a second.
import { createHash } from 'node:crypto';
import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { JobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { RequestParts } from '../parts.ts';
import type { RestoreRequest, RestoreResult } from './request-restore.ts';
import { planPolicy } from './request-restore.ts';

/** After that a token is as if it had never been used. */
export const clientTokenLifeMs = 72 * 3_600_000;

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'defaultPolicy'>;

/** The answer that the token was given; null when it is new. @throws conflict */
export async function replay(
  { catalog, clock, defaultPolicy }: Parts,
  request: RestoreRequest,
  token: string,
): Promise<RestoreResult | null> {
  const use = await catalog.clientTokens.find(request.projectId, token);
  if (!use || use.createdAt.getTime() <= clock.now().getTime() - clientTokenLifeMs) return null;
  if (use.requestHash !== hashRequest(request)) {
    throw reusedError('the client token belongs to another request');
  }
  const instance = await catalog.instances.find(request.projectId, use.instanceId);
  if (!instance) throw reusedError(`the instance that the client token made is gone`);
  const policy = planPolicy({ defaultPolicy }, request, instance.engine);
  return { instance, jobId: use.jobId, policy };
}

/**
 * Call it in the transaction that accepts the request. @throws conflict when the same token was
 * used at the same moment
 */
export async function keepToken(
  tx: CatalogSession,
  { clock }: Pick<Parts, 'clock'>,
  accepted: {
    readonly instance: Instance;
    readonly jobId: JobId;
    readonly request: RestoreRequest;
    readonly clientToken: string;
  },
): Promise<void> {
  const { instance, jobId, request, clientToken: token } = accepted;
  const createdAt = clock.now();
  await tx.clientTokens.deleteOlderThan(new Date(createdAt.getTime() - clientTokenLifeMs + 1));
  await tx.clientTokens.insert({
    ...{ projectId: request.projectId, token, createdAt, jobId },
    requestHash: hashRequest(request),
    instanceId: instance.id,
  });
}

/**
 * Of what the request means, not of its bytes: fields without meaning here, a password among them,
 * leave no trace in the catalog.
 */
function hashRequest(request: RestoreRequest): string {
  const { name, sourceInstanceId, point, port, engine, version, strategy, tags } = request;
  const { skippedTransactions: skipped } = request;
  const meaning = {
    ...{ name, sourceInstanceId, point, port, engine, version, strategy, tags },
    // Left out where it is empty: so tokens of earlier versions stay what they are.
    ...(skipped.length > 0 ? { skipped } : {}),
  };
  return createHash('sha256').update(JSON.stringify(meaning)).digest('hex');
}

function reusedError(message: string): CairnError {
  return new CairnError('conflict', message, { reason: 'client-token-reused' });
}
