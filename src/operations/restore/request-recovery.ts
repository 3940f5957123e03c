// What the API calls a recovery: over the whole target, or of some databases beside what it has.
// A server that Cairn started gets other data for the former; of one that it never starts, each
// database makes room for the one that is restored.
import type { DatabaseName } from '../../engines/engine.ts';
import type { JobId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';
import { requestDatabaseRestore } from '../logical/request-database-restore.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import type { InPlaceRequest } from './request-restore-in-place.ts';
import { requestRestoreInPlace } from './request-restore-in-place.ts';
import { assertNoneSkipped } from './require-plan.ts';

export type { DatabaseName } from '../../engines/engine.ts';

export type RecoveryRequest = InPlaceRequest & {
  /** Empty: all that there is, in the place of what the target has. */
  readonly databases: readonly DatabaseName[];
  /** Also the databases that are named take the place of those that have their new names. */
  readonly replace: boolean;
};

/** @throws invalid, not-found, conflict */
export async function requestRecovery(
  parts: RequestParts,
  request: RecoveryRequest,
): Promise<{ readonly jobId: JobId }> {
  const { projectId, targetInstanceId, databases, skippedTransactions } = request;
  const isWhole = databases.length === 0;
  const target = await getInstance(parts.catalog, projectId, targetInstanceId);
  const { ownServers } = driverFor(parts.engines, target.engine).capabilities;
  if (isWhole && ownServers) return await requestRestoreInPlace(parts, request);
  assertNoneSkipped(skippedTransactions);
  return await requestDatabaseRestore(parts, {
    ...request,
    ...{ replace: isWhole || request.replace, missingRoles: 'refuse', rules: 'published' },
  });
}
