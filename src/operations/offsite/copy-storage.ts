// `cairn storage copy`: the whole repository, or one instance of it, on storage and key alone.
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import { parseInstanceId } from '../../model/ids.ts';
import type {
  CopyComparison,
  CopyReport,
  LockReport,
  RepositoryCopy,
} from '../../repository/repository.ts';
import { assertUntouched } from '../lock/assert-untouched.ts';

export type CopyStorageRequest = {
  /** Id or name; null: every instance. */
  readonly instance: string | null;
  /** Also removes from the copy what the source does not have any more. */
  readonly deleteGone: boolean;
  /** Only compares. */
  readonly verify: boolean;
  readonly onProgress: (progress: { doneBytes: number; totalBytes: number }) => void;
  readonly signal: AbortSignal;
};

export type CopyProblem = {
  readonly instanceId: InstanceId;
  /** Or of a stream of archived log. */
  readonly backupId: string;
  readonly message: string;
};

export type CopyStorageReport = {
  readonly from: string;
  readonly to: string;
  readonly instances: number;
  /** Backups that were copied, or compared. */
  readonly backups: number;
  readonly present: number;
  readonly skipped: number;
  readonly removed: number;
  readonly onlyInCopy: number;
  /** Written, or compared. */
  readonly objects: number;
  readonly bytes: number;
  readonly problems: readonly CopyProblem[];
};

type Counts = {
  -readonly [name in keyof Omit<CopyStorageReport, 'problems'>]: CopyStorageReport[name];
};

/**
 * Copies, or compares, instance by instance. What one backup lacks is a problem of the report.
 * @throws not-found for an instance that neither side has; conflict, also for a name that several
 *   have; storage errors;
 *   repository-damaged when, in a copy that is locked, somebody else has touched an object
 */
export async function copyStorage(
  copy: RepositoryCopy,
  request: CopyStorageRequest & { readonly location: string },
): Promise<CopyStorageReport> {
  const { signal, verify, deleteGone } = request;
  const problems: CopyProblem[] = [];
  const locks: (LockReport | null)[] = [];
  const counts: Counts = {
    ...{ from: request.location, to: copy.location, instances: 0, backups: 0, present: 0 },
    ...{ skipped: 0, removed: 0, onlyInCopy: 0, objects: 0, bytes: 0 },
  };
  for (const instanceId of await chooseInstances(copy, request)) {
    counts.instances++;
    if (verify) {
      const compared = await copy.compareInstance(instanceId, { keepSince: null }, signal);
      problems.push(...countCompared(counts, instanceId, compared));
    } else {
      const report = await copy.copyInstance(instanceId, {
        ...{ keepSince: null, removeOlder: false, removeGone: deleteGone, signal },
        onProgress: request.onProgress,
        assertLease: async () => signal.throwIfAborted(),
      });
      problems.push(...countCopied(counts, instanceId, report));
      locks.push(report.locks);
    }
  }
  for (const report of locks) assertUntouched(report);
  return { ...counts, problems };
}

async function chooseInstances(
  copy: RepositoryCopy,
  { instance, signal, location }: CopyStorageRequest & { readonly location: string },
): Promise<readonly InstanceId[]> {
  const known = await copy.listInstances(signal);
  if (instance === null) return known;
  const id = parseInstanceId(instance);
  if (id && known.includes(id)) return [id];
  const named: InstanceId[] = [];
  for (const each of known) {
    if ((await copy.findName(each, signal)) === instance) named.push(each);
  }
  if (named.length === 1) return named;
  if (named.length > 1) {
    throw new CairnError('conflict', `several instances in ${location} are called ${instance}`, {
      hint: `name one by its id: ${named.slice(0, 20).join(', ')}`,
    });
  }
  throw new CairnError('not-found', `there is no instance ${instance} in ${location}`, {
    hint: `name one by its id: ${known.slice(0, 20).join(', ') || 'it holds none'}`,
  });
}

function countCopied(
  counts: Counts,
  instanceId: InstanceId,
  report: CopyReport,
): readonly CopyProblem[] {
  counts.backups += report.copied.length;
  counts.present += report.present;
  counts.skipped += report.skipped.length;
  counts.removed += report.removed.length;
  counts.objects += report.objects;
  counts.bytes += report.bytes;
  const failed = [
    ...report.failed,
    ...report.failedLog.map(({ streamId, error }) => ({ backupId: streamId, error })),
  ];
  return failed.map(({ backupId, error }) => ({
    ...{ instanceId, backupId, message: toCairnError(error).message },
  }));
}

function countCompared(
  counts: Counts,
  instanceId: InstanceId,
  { backups, objects, gaps, logGaps, onlyInCopy }: CopyComparison,
): readonly CopyProblem[] {
  counts.backups += backups;
  counts.objects += objects;
  counts.onlyInCopy += onlyInCopy.length;
  const all = [
    ...gaps,
    ...logGaps.map(({ streamId, problems }) => ({ backupId: streamId, problems })),
  ];
  return all.flatMap(({ backupId, problems }) =>
    problems.map((message) => ({ instanceId, backupId, message })),
  );
}
