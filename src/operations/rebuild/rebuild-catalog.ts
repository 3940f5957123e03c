// Fills a catalog from the storage: projects, instances and backups as the manifests tell them.
// What is there already stays as it is, so it can be repeated, also after an interruption.
import type { Catalog, CatalogSession, Project } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { defaultPool } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idSource } from '../../platform/random.ts';
import type { Repository, StoredBackup } from '../../repository/repository.ts';
import { emptyPolicy } from '../policy/get-policy.ts';
import { freeName } from './free-name.ts';
import type { RebuiltLog } from './rebuild-log.ts';
import { rebuildLog } from './rebuild-log.ts';

export type RebuildParts = {
  readonly catalog: Catalog;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly random: Random;
  /** Makes the first project with its administrator, if the catalog has no project. */
  readonly bootstrap: (projectId: ProjectId) => Promise<void>;
};

export type RebuildReport = {
  readonly projects: number;
  readonly instances: number;
  readonly backups: number;
  /** Known already, and left as they were. */
  readonly knownBackups: number;
  /** Streams of archived log; their intervals are taken in with them. */
  readonly logStreams: number;
  readonly unreadableLog: RebuiltLog['unreadable'];
  /** Manifests that cannot be read: their backups are not in the catalog. */
  readonly unreadable: ReadonlyArray<{ readonly backupId: BackupId; readonly message: string }>;
};

/** What an instance is until somebody gives its address again. */
const addressUnknown =
  'known from its backups only: give its address with “cairn instance update ID --url URL”';

/** @throws storage-unavailable when a listing fails; what was written by then stays */
export async function rebuildCatalog(
  parts: RebuildParts,
  options: {
    readonly onBackup: (count: number) => void;
    readonly signal: AbortSignal;
  },
): Promise<RebuildReport> {
  const { repository, catalog } = parts;
  const counts = { projects: 0, instances: 0, backups: 0, knownBackups: 0, logStreams: 0 };
  const unreadableLog: RebuiltLog['unreadable'][number][] = [];
  const unreadable: { backupId: BackupId; message: string }[] = [];
  for (const instanceId of await repository.listInstances(options.signal)) {
    let newest: StoredBackup | null = null;
    for await (const found of repository.readBackups(instanceId, options.signal)) {
      if (found.error) {
        unreadable.push({ backupId: found.backupId, message: found.error.message });
        continue;
      }
      const { stored } = found;
      if (await ensureProject(parts, stored)) counts.projects++;
      const isNew = await catalog.transaction((tx) => insertBackup(tx, parts, stored));
      counts[isNew ? 'backups' : 'knownBackups']++;
      newest = laterOf(newest, stored);
      options.onBackup(counts.backups + counts.knownBackups);
    }
    const latest = newest;
    if (!latest) continue;
    if (await catalog.transaction((tx) => insertInstance(tx, parts, latest))) counts.instances++;
    const log = await rebuildLog(parts, instanceId, options.signal);
    counts.logStreams += log.streams;
    unreadableLog.push(...log.unreadable);
  }
  return { ...counts, unreadable, unreadableLog };
}

function laterOf(a: StoredBackup | null, b: StoredBackup): StoredBackup {
  return a && a.facts.backup.startedAt >= b.facts.backup.startedAt ? a : b;
}

/** The first one gets the administrator, the others names that say where they come from. */
async function ensureProject(
  { catalog, bootstrap }: RebuildParts,
  { facts }: StoredBackup,
): Promise<boolean> {
  const { projectId } = facts.backup;
  const { identity } = catalog;
  if (await identity.findProject(projectId)) return false;
  await bootstrap(projectId);
  if (await identity.findProject(projectId)) return true;
  const [{ domainId } = { domainId: '' }] = await identity.listProjects();
  const name = await freeName(`recovered-${projectId.slice(0, 8)}`, async (candidate) => {
    return (await identity.findProjectByName(candidate)) !== null;
  });
  const project: Project = { id: projectId, name, domainId };
  await identity.insertProject(project);
  return true;
}

/** Answers false when the catalog knows the backup, in whatever state. */
async function insertBackup(
  tx: CatalogSession,
  { random }: Pick<RebuildParts, 'random'>,
  stored: StoredBackup,
): Promise<boolean> {
  const { facts, totals, backupId: id, instanceId } = stored;
  const { projectId, endedAt, ...told } = facts.backup;
  if (await tx.backups.find(projectId, id)) return false;
  const { serverVersion, startPosition, stopPosition } = facts.base;
  const backup: Backup = {
    ...told,
    ...{ id, projectId, instanceId, serverVersion },
    name: await freeName(told.name, (name) => tx.backups.isNameTaken(projectId, name)),
    instanceName: facts.instance.name,
    engine: facts.instance.engine,
    // Its own is not known any more.
    jobId: newJobId(idSource(random)),
    state: { status: 'completed', endedAt, totals, startPosition, stopPosition },
  };
  await tx.backups.insert(backup);
  return true;
}

/** Without a connection, and with its policy off: nothing is made or deleted by itself. */
async function insertInstance(
  tx: CatalogSession,
  { clock }: Pick<RebuildParts, 'clock'>,
  { instanceId: id, facts }: StoredBackup,
): Promise<boolean> {
  const { projectId } = facts.backup;
  if (await tx.instances.find(projectId, id)) return false;
  const { serverVersion, systemIdentifier } = facts.base;
  const now = clock.now();
  const instance: Instance = {
    ...{ id, projectId, serverVersion, systemIdentifier },
    name: await freeName(facts.instance.name, async (name) => {
      const page = { offset: 0, limit: 1 };
      return (await tx.instances.list({ projectId, name }, page)).total > 0;
    }),
    engine: facts.instance.engine,
    state: { status: 'failed', reason: addressUnknown },
    connection: null,
    managed: null,
    pool: defaultPool,
    createdAt: await firstSeen(tx, projectId, id, now),
    updatedAt: now,
  };
  await tx.instances.insert(instance);
  await tx.policies.put(emptyPolicy(projectId, id, now));
  return true;
}

/** When its oldest backup began: it was registered before. */
async function firstSeen(
  { backups }: CatalogSession,
  projectId: ProjectId,
  instanceId: InstanceId,
  now: Date,
): Promise<Date> {
  const filter = { projectId, instanceId };
  const { total } = await backups.list(filter, { offset: 0, limit: 1 });
  const { items } = await backups.list(filter, { offset: Math.max(0, total - 1), limit: 1 });
  return items[0]?.startedAt ?? now;
}
