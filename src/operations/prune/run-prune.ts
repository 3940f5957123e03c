import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';
import type { PruneSurvey } from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { Orphan } from './find-orphans.ts';
import { findOrphans } from './find-orphans.ts';
import type { UnknownInstancesReport } from './prune-report.ts';
import { amountOf, namesMax, reportSurvey } from './prune-report.ts';

type Found = { readonly survey: PruneSurvey; readonly orphans: readonly Orphan[] };

/**
 * Deletes what no backup of the instance needs, when it has been so for the grace period: the first
 * run remembers, a later one deletes. Runs while nothing else changes the instance's backups.
 */
export async function runPrune(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { instanceId } = requireInstance(job);
  context.progress({ phase: 'looking', doneBytes: 0, totalBytes: null });
  const { survey, orphans } = await look(job, instanceId, context, parts);
  await rememberCandidates(instanceId, survey, context, parts);
  const { signal } = context;
  const assertLease = (): Promise<void> => context.assertLease();
  context.progress({ phase: 'deleting', doneBytes: 0, totalBytes: amountOf(survey.remove).bytes });
  const { removed } = await parts.repository.removeUnneeded(instanceId, survey.remove, {
    ...{ assertLease, signal },
  });
  for (const { backupId } of orphans.filter(({ isStale }) => isStale)) {
    await parts.repository.deleteBackup(instanceId, backupId, { assertLease, signal });
  }
  const report = {
    ...reportSurvey(survey, { graceMs: parts.pruneGraceMs, orphans }),
    ...{ dryRun: false, removed: amountOf(removed) },
  };
  await context.commit(async (tx) => {
    const names = survey.remove.map(({ name }) => name);
    await tx.prune.forgetCandidates(instanceId, names);
    await tx.jobs.setResult(job.id, report);
  });
  context.log.info({ ...report.removed, instanceId }, 'prune ended');
}

/** What a prune would do now, and which folders nobody knows; changes nothing. */
export async function runPrunePlan(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  context.progress({ phase: 'looking', doneBytes: 0, totalBytes: null });
  const report =
    job.instanceId === null
      ? await findUnknownInstances(context, parts)
      : await reportPlan(job, job.instanceId, context, parts);
  await context.commit((tx) => tx.jobs.setResult(job.id, report));
}

async function reportPlan(
  job: Job,
  instanceId: InstanceId,
  context: JobContext,
  parts: WorkerParts,
) {
  const { survey, orphans } = await look(job, instanceId, context, parts);
  return reportSurvey(survey, { graceMs: parts.pruneGraceMs, orphans });
}

async function look(
  { projectId }: Job,
  instanceId: InstanceId,
  { signal }: JobContext,
  { catalog, clock, repository, pruneGraceMs }: WorkerParts,
): Promise<Found> {
  const firstSeen = await catalog.prune.listCandidates(instanceId);
  const building = await catalog.backups.findBuilding(instanceId);
  const inFlight: ReadonlySet<BackupId> = new Set(building ? [building.id] : []);
  const time = { now: clock.now(), graceMs: pruneGraceMs };
  const knowledge = { inFlight, firstSeen, ...time };
  const survey = await repository.surveyInstance(instanceId, knowledge, signal);
  const { backupIds } = survey;
  const orphans = await findOrphans(catalog, { projectId, backupIds }, time);
  return { survey, orphans };
}

/** An object that is needed again begins anew when it is not needed any more. */
async function rememberCandidates(
  instanceId: InstanceId,
  { wait, remove }: PruneSurvey,
  context: JobContext,
  { clock }: WorkerParts,
): Promise<void> {
  const names = new Set([...wait, ...remove].map(({ name }) => name));
  await context.commit(async (tx) => {
    const known = [...(await tx.prune.listCandidates(instanceId)).keys()];
    const needed = known.filter((name) => !names.has(name));
    await tx.prune.forgetCandidates(instanceId, needed);
    await tx.prune.addCandidates(instanceId, [...names], clock.now());
  });
}

/** Only told, never deleted: another catalog may know them, or an older copy of this one. */
async function findUnknownInstances(
  { signal }: JobContext,
  { catalog, repository }: WorkerParts,
): Promise<UnknownInstancesReport> {
  const stored = await repository.listInstances(signal);
  const known = new Set<InstanceId>();
  for (const project of await catalog.identity.listProjects()) {
    for (const id of await catalog.backups.listInstanceIds(project.id)) known.add(id);
    for (const id of stored) {
      if (!known.has(id) && (await catalog.instances.find(project.id, id))) known.add(id);
    }
  }
  const instanceIds = stored.filter((id) => !known.has(id)).slice(0, namesMax);
  return { kind: 'unknown-instances', instanceIds };
}

function requireInstance({ id, instanceId }: Job): { readonly instanceId: InstanceId } {
  if (instanceId !== null) return { instanceId };
  throw new CairnError('bug', `prune job ${id} names no instance`);
}
