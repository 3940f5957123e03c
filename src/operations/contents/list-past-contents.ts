// Which databases and tables an instance had at a moment: those that the backup has noted from
// which that moment is reached. What was made between the two is not among them.
import type { ListedDatabase } from '../../model/backup-contents.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { targetTime } from '../../model/recovery-target.ts';
import type { Repository } from '../../repository/repository.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RequestParts } from '../parts.ts';
import { resolvePoint } from '../restore/restore-point.ts';

export type PastContentsQuery = {
  readonly projectId: ProjectId;
  readonly engine: Engine;
  readonly instanceIds: readonly InstanceId[];
  readonly at: Date;
  /** Parts of names, in any case of letters; empty: all. */
  readonly like: { readonly instance: string; readonly database: string; readonly table: string };
};

export type PastContents = {
  readonly instanceId: InstanceId;
  readonly name: string;
  readonly databases: readonly ListedDatabase[];
};

type Parts = Pick<RequestParts, 'catalog'> & {
  readonly repository: Pick<Repository, 'readContents'>;
};

/**
 * @throws not-found; invalid (engine-mismatch, restore-time-unreachable, contents-unknown);
 * repository-damaged
 */
export async function listPastContents(
  parts: Parts,
  query: PastContentsQuery,
  signal: AbortSignal,
): Promise<readonly PastContents[]> {
  const { projectId, at, like } = query;
  const found: PastContents[] = [];
  for (const instanceId of query.instanceIds) {
    const { name, engine } = await getInstance(parts.catalog, projectId, instanceId);
    if (engine !== query.engine) {
      throw new CairnError('invalid', `instance ${name} is one of ${engine}, not ${query.engine}`, {
        reason: 'engine-mismatch',
      });
    }
    if (!isLike(name, like.instance)) continue;
    const point = targetTime(at);
    const { backupId } = await resolvePoint(parts.catalog, {
      ...{ projectId, sourceInstanceId: instanceId, point, skippedTransactions: [] },
    });
    const contents = await parts.repository.readContents(instanceId, backupId, signal);
    if (!contents) throw contentsUnknown(backupId);
    found.push({ instanceId, name, databases: filterContents(contents.databases, like) });
  }
  return found;
}

/** Pure. Databases without a table that fits are left out where one is asked for. */
export function filterContents(
  databases: readonly ListedDatabase[],
  like: Pick<PastContentsQuery['like'], 'database' | 'table'>,
): readonly ListedDatabase[] {
  return databases
    .filter(({ name }) => isLike(name, like.database))
    .map(({ name, tables }) => ({
      name,
      tables: tables.filter((table) => isLike(table.name, like.table)),
    }))
    .filter(({ tables }) => like.table === '' || tables.length > 0);
}

export function contentsUnknown(backupId: string): CairnError {
  return new CairnError('invalid', `backup ${backupId} has no list of databases`, {
    reason: 'contents-unknown',
    hint: 'its role may not have been allowed to look: a role that may connect lists them',
  });
}

function isLike(name: string, part: string): boolean {
  return name.toLowerCase().includes(part.toLowerCase());
}
