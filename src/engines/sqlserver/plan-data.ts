// Whether a database is backed up in full, or only what has changed since the full backup that the
// previous backup of Cairn holds: decided before anything is asked of the server. The proof comes
// afterwards, from the server's history: which full backup a differential one is based on. Pure.
import type { ReplicaRole } from './always-on.ts';
import { planOnReplica } from './always-on.ts';
import type { BackupRecord } from './backup-record.ts';
import { planForeign } from './plan-foreign.ts';

export type DataKind = 'full' | 'differential';

export type DataPlan =
  | {
      readonly kind: 'full';
      readonly isCopyOnly: boolean;
      /** Why it is not what was asked for; null: it is. */
      readonly note: string | null;
    }
  | { readonly kind: 'differential'; readonly base: BackupRecord };

export type DataQuestion = {
  readonly asked: DataKind;
  readonly role: ReplicaRole | null;
  /** Null: the login may not know. */
  readonly familyId: string | null;
  /** What the previous backup has of this database; null: nothing that is whole. */
  readonly previous: {
    readonly full: BackupRecord;
    readonly differential: BackupRecord | null;
  } | null;
  /** By the server, from that full backup on; null: it does not know that one any more. */
  readonly history: readonly BackupRecord[] | null;
};

export function planData(question: DataQuestion): DataPlan {
  const { asked, role, previous } = question;
  const onReplica = planOnReplica(asked, role);
  if (onReplica.kind === 'full') return { ...onReplica, kind: 'full' };
  if (previous === null) return inFull('the previous backup has no full one of it');
  const note = whyNotBased(previous, question);
  return note === null ? { kind: 'differential', base: previous.full } : inFull(note);
}

export function inFull(why: string): DataPlan & { readonly kind: 'full' } {
  return { kind: 'full', isCopyOnly: false, note: `taken in full: ${why}` };
}

function whyNotBased(
  previous: NonNullable<DataQuestion['previous']>,
  { familyId, history }: DataQuestion,
): string | null {
  const { full } = previous;
  if (full.isCopyOnly) return 'the full backup of the previous one is a copy';
  if (familyId !== null && familyId !== full.familyId) {
    return 'it is another database than in the previous backup';
  }
  if (history === null) return 'the server does not know the full backup of the previous one';
  const foreign = findForeign(previous, history);
  return foreign === null ? null : describeForeign(foreign);
}

/**
 * The newest backup by anybody else that moved the base of differential ones since; null: there is
 * none. Backups of log move none.
 */
export function findForeign(
  { full, differential }: NonNullable<DataQuestion['previous']>,
  history: readonly BackupRecord[],
): BackupRecord | null {
  const ownIds = new Set([full.id, ...(differential === null ? [] : [differential.id])]);
  const data = history.filter(({ type }) => type !== 'log');
  const { foreign, mustBeFull } = planForeign(data, ownIds);
  if (!mustBeFull) return null;
  return foreign.findLast(({ effect }) => effect === 'differential-base')?.record ?? null;
}

export function describeForeign({ type, userName, device, startedLocal }: BackupRecord): string {
  const who = userName === null ? 'somebody' : `login ${userName}`;
  const where = device === null ? '' : ` to ${device}`;
  return `another ${type} backup was taken by ${who} on ${startedLocal}${where}`;
}
