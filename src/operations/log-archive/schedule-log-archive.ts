// The scheduler's part: each log that is to be archived has an open job for it, and each stream
// that is followed has one that ends it when nobody wants it any more. Of many replicas one asks.
import type { PolicyRecord } from '../../catalog/catalog.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { LogStream } from '../../model/log-stream.ts';
import { jobKinds } from '../job-payloads.ts';
import { insertInstanceJob } from '../jobs/request-instance-job.ts';
import type { LogArchiveSetting, RequestParts } from '../parts.ts';
import { askForBase, needsBase } from './ask-for-base.ts';
import { findTrims } from './find-trims.ts';
import { isArchivable } from './look-around.ts';
import { planStanding } from './plan-standing.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log' | 'engines'> & {
  readonly logArchive: LogArchiveSetting;
};
type Of = { readonly projectId: ProjectId; readonly instanceId: InstanceId };

const pageLimit = 200;
const kind = jobKinds.archiveLog;

/** Asks for the jobs that are missing; one that fails keeps no other from its own. */
export async function scheduleLogArchive(parts: Parts, signal: AbortSignal): Promise<void> {
  const known = new OpenJobs(parts);
  if (parts.logArchive.isOn) {
    for (let offset = 0; !signal.aborted; offset += pageLimit) {
      const records = await parts.catalog.policies.listActive({ offset, limit: pageLimit });
      for (const record of records) await tryToAsk(parts, record, known);
      if (records.length < pageLimit) break;
    }
  }
  for await (const of of eachWithLog(parts, signal)) {
    const stream = await parts.catalog.logStreams.findFollowing(of.instanceId);
    if (!stream) continue;
    await tryToAsk(parts, of, known);
    await tryToAskForBase(parts, stream);
  }
}

/** Asks for what no kept time needs to be deleted. */
export async function scheduleLogTrims(
  parts: Omit<Parts, 'engines' | 'logArchive'>,
  signal: AbortSignal,
): Promise<void> {
  const { catalog, clock, log } = parts;
  for await (const of of eachWithLog(parts, signal)) {
    try {
      if ((await findTrims(catalog, of, clock.now())).length === 0) continue;
      await catalog.transaction((tx) =>
        insertInstanceJob(tx, parts, { kind: jobKinds.trimLog, ...of }),
      );
    } catch (error) {
      log.error({ err: error, instanceId: of.instanceId }, 'archived log was not looked through');
    }
  }
}

async function* eachWithLog(
  { catalog }: Pick<Parts, 'catalog'>,
  signal: AbortSignal,
): AsyncGenerator<Of> {
  let after: InstanceId | null = null;
  while (!signal.aborted) {
    const found: readonly Of[] = await catalog.logStreams.listInstances(after, pageLimit);
    yield* found;
    if (found.length < pageLimit) return;
    after = found.at(-1)?.instanceId ?? null;
  }
}

/** One query for each project and round. */
class OpenJobs {
  readonly #parts: Pick<Parts, 'catalog'>;
  readonly #byProject = new Map<ProjectId, ReadonlySet<InstanceId | null>>();

  constructor(parts: Pick<Parts, 'catalog'>) {
    this.#parts = parts;
  }

  async has({ projectId, instanceId }: Of): Promise<boolean> {
    const known =
      this.#byProject.get(projectId) ??
      new Set(
        (await this.#parts.catalog.jobs.listOpenByKind(projectId, [kind])).map(
          (job) => job.instanceId,
        ),
      );
    this.#byProject.set(projectId, known);
    return known.has(instanceId);
  }
}

async function tryToAsk(
  parts: Parts,
  { projectId, instanceId }: Of | PolicyRecord,
  known: OpenJobs,
): Promise<void> {
  try {
    if (await known.has({ projectId, instanceId })) return;
    await ask(parts, { projectId, instanceId });
  } catch (error) {
    parts.log.error({ err: error, instanceId }, 'no job for archiving its log was asked for');
  }
}

/** Most streams have theirs: they cost no transaction. */
async function tryToAskForBase(parts: Parts, stream: LogStream): Promise<void> {
  const { projectId, instanceId } = stream;
  try {
    if (!(await needsBase(parts.catalog, stream))) return;
    const backup = await parts.catalog.transaction(async (tx) => {
      const instance = await tx.instances.find(projectId, instanceId);
      const record = await tx.policies.find(instanceId);
      if (!instance || record?.policy.kind !== 'on') return null;
      return await askForBase(tx, parts, instance);
    });
    if (backup) parts.log.info({ backupId: backup.id }, 'the archived log needs a full backup');
  } catch (error) {
    parts.log.error({ err: error, instanceId }, 'no backup for its archived log was asked for');
  }
}

async function ask({ logArchive, engines, ...parts }: Parts, of: Of): Promise<void> {
  const isAsked = await parts.catalog.transaction(async (tx) => {
    const instance = await tx.instances.find(of.projectId, of.instanceId);
    const record = await tx.policies.find(of.instanceId);
    const open = await tx.jobs.listOpen(of.instanceId);
    const following = await tx.logStreams.findFollowing(of.instanceId);
    const standing = planStanding({
      instance,
      policy: record?.policy ?? { kind: 'off' },
      openKinds: open.map((job) => job.kind),
      isOn: logArchive.isOn,
      isOffered: instance !== null && isArchivable(engines, instance),
    });
    const isWanted = standing.kind === 'follow' || (standing.kind === 'stop' && following !== null);
    if (!isWanted) return false;
    await insertInstanceJob(tx, parts, { kind, ...of });
    return true;
  });
  if (isAsked) parts.log.info({ instanceId: of.instanceId }, 'its log is to be archived');
}
