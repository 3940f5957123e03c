// Decides, purely, which stored versions of an instance's objects must stay locked. Objects are
// written once, so a needed name with another content beside the first, or with a deletion on top,
// was touched by somebody else: which version is the right one is not for us to say, so all stay.
// Then whatever was locked stays too: what is hidden may have needed it.
import type { InstanceId } from '../model/ids.ts';
import type { ObjectVersion } from '../storage/storage.ts';
import { instanceFolder, repositoryObject } from './format.ts';

export type LockInput = {
  readonly instanceId: InstanceId;
  readonly versions: readonly ObjectVersion[];
  /** Manifests and what they name, and manifests that should be there. */
  readonly needed: ReadonlySet<string>;
};

export type LockFinding = {
  readonly object: string;
  readonly problem: 'deleted' | 'overwritten' | 'missing';
};

export type LockPlan = {
  /** Must be locked. */
  readonly needed: readonly ObjectVersion[];
  /** Of no use to any backup that is known. */
  readonly others: readonly ObjectVersion[];
  readonly findings: readonly LockFinding[];
};

/** What is needed without a manifest naming it, for as long as it is there. */
export function lockedPrefixes(instanceId: InstanceId): readonly string[] {
  return [repositoryObject, 'owners/', 'master-keys/', `keys/${instanceId}.`];
}

export function planLocks({ instanceId, versions, needed }: LockInput): LockPlan {
  const byName = Map.groupBy(versions, ({ name }) => name);
  const plan = { needed: [] as ObjectVersion[], others: [] as ObjectVersion[] };
  const findings: LockFinding[] = [];
  const standing = [...lockedPrefixes(instanceId), `${instanceFolder(instanceId)}log/`];
  for (const [name, all] of byName) {
    const isNamed = needed.has(name);
    const isStanding = standing.some((prefix) => name.startsWith(prefix)) && !isDeleted(all);
    plan[isNamed || isStanding ? 'needed' : 'others'].push(...all);
    if (isNamed && isDeleted(all)) findings.push({ object: name, problem: 'deleted' });
    else if ((isNamed || isStanding) && hasTwoContents(all)) {
      findings.push({ object: name, problem: 'overwritten' });
    }
  }
  for (const name of needed) {
    if (!byName.has(name)) findings.push({ object: name, problem: 'missing' });
  }
  return { ...plan, findings };
}

/** Hidden: a deletion lies on top. */
export function isDeleted(versions: readonly ObjectVersion[]): boolean {
  return versions.some(({ isLatest, isDeletion }) => isLatest && isDeletion);
}

/** The same bytes may be there twice: a copy that was deleted and made again. */
function hasTwoContents(versions: readonly ObjectVersion[]): boolean {
  const contents = versions.filter(({ isDeletion }) => !isDeletion);
  return new Set(contents.map((each) => `${each.contentTag} ${each.sizeBytes}`)).size > 1;
}
