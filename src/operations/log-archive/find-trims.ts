import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { wholeBackupTypes } from '../../model/backup.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { LogStream } from '../../model/log-stream.ts';
import { cutoffOf } from '../schedule/plan-retention.ts';
import type { BaseBackup, LogTrim } from './plan-log-retention.ts';
import { planLogTrim, switchOffGraceMs } from './plan-log-retention.ts';

export type DueTrim = {
  readonly stream: LogStream;
  readonly trim: Exclude<LogTrim, { readonly kind: 'keep' }>;
};

type Of = { readonly projectId: ProjectId; readonly instanceId: InstanceId };

/** What of an instance's log no time needs that is kept. */
export async function findTrims(
  catalog: CatalogSession,
  of: Of,
  now: Date,
): Promise<readonly DueTrim[]> {
  const streams = await catalog.logStreams.list(of.instanceId);
  if (streams.length === 0) return [];
  const policy = (await catalog.policies.find(of.instanceId))?.policy;
  const cutoff = policy?.kind === 'on' ? cutoffOf({ keepDays: policy.keepDays, now }) : null;
  const newestOld = cutoff && (await findNewestBase(catalog, of, cutoff));
  const oldest = cutoff && (newestOld ?? (await findOldestBase(catalog, of)));
  const stoppedAt = findStop(streams);
  const input = { cutoff, now, graceMs: switchOffGraceMs, stoppedAt, newestOld, oldest };
  const due: DueTrim[] = [];
  for (const stream of streams) {
    const trim = planLogTrim(stream, input);
    if (trim.kind === 'all') due.push({ stream, trim });
    if (trim.kind === 'before' && (await takesAnything(catalog, stream, trim))) {
      due.push({ stream, trim });
    }
  }
  return due;
}

function findStop(streams: readonly LogStream[]): Date | null {
  const state = streams.at(-1)?.state;
  return state?.status === 'ended' && state.cause === 'stopped' ? state.endedAt : null;
}

/** Log goes on from a backup of the whole server, never from the export of some databases. */
const usable = { status: 'completed', isWholeServer: true } as const;

/** The newest completed full backup that had ended by then. */
export async function findNewestBase(
  { backups }: CatalogSession,
  of: Of,
  endedTo: Date,
): Promise<BaseBackup | null> {
  const found: BaseBackup[] = [];
  for (const type of wholeBackupTypes) {
    const filter = { ...of, ...usable, type, startedTo: endedTo };
    // One backup runs at a time, so no more than one had begun and not ended.
    const { items } = await backups.list(filter, { offset: 0, limit: 2 });
    const ended = items.flatMap(toBase).filter(({ endedAt }) => endedAt <= endedTo);
    found.push(...ended.slice(0, 1));
  }
  return found.reduce<BaseBackup | null>((a, b) => (a && a.endedAt >= b.endedAt ? a : b), null);
}

async function findOldestBase({ backups }: CatalogSession, of: Of): Promise<BaseBackup | null> {
  const found: BaseBackup[] = [];
  for (const type of wholeBackupTypes) {
    const filter = { ...of, ...usable, type };
    const { total } = await backups.list(filter, { offset: 0, limit: 1 });
    const last = { offset: Math.max(0, total - 1), limit: 1 };
    found.push(...(await backups.list(filter, last)).items.flatMap(toBase));
  }
  return found.reduce<BaseBackup | null>((a, b) => (a && a.endedAt <= b.endedAt ? a : b), null);
}

function toBase({ id, startedAt, state }: Backup): readonly BaseBackup[] {
  if (state.status !== 'completed') return [];
  const { endedAt, startPosition } = state;
  return [{ id, startedAt, endedAt, startPosition }];
}

/** A round in which no interval goes is not worth a job. */
async function takesAnything(
  { intervals }: CatalogSession,
  { id }: LogStream,
  { position }: Extract<LogTrim, { readonly kind: 'before' }>,
): Promise<boolean> {
  const [oldest] = await intervals.list(id, 1);
  if (oldest?.state.status !== 'completed') return false;
  return compareLogPositions(oldest.state.stopPosition, position) <= 0;
}
