// Compares a copy with its source: manifests byte for byte, and the objects that they name by size.
import { isErrorKind } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import type { CopyComparison, CopyGap } from './copy-door.ts';
import { objectsOf, readWholeManifest } from './copy-instance.ts';
import { compareLog } from './copy-log-upkeep.ts';
import type { CopyRules, DatedBackup } from './copy-plan.ts';
import { planCopies } from './copy-plan.ts';
import type { CopyIdentity } from './copy-target.ts';
import { assertCopy } from './copy-target.ts';
import { instanceFolder, manifestObject } from './format.ts';
import { KeyRing } from './keys.ts';
import { isPresent, readIfPresent } from './object-presence.ts';
import { readBackups } from './read-backups.ts';

const problemsMax = 50;

type Parts = {
  readonly source: Storage;
  readonly target: Storage;
  readonly identity: CopyIdentity;
  readonly masterKey: MasterKey;
  readonly instanceId: InstanceId;
  readonly signal: AbortSignal;
};

/** What `RepositoryCopy.compareInstance` promises. */
export async function compareInstance(
  parts: Parts,
  rules: Pick<CopyRules, 'keepSince'>,
): Promise<CopyComparison> {
  const { source, target, identity, masterKey, instanceId, signal } = parts;
  await assertCopy(target, identity, signal);
  const sizes = new Map<string, number>();
  for await (const { name, sizeBytes } of target.list(instanceFolder(instanceId), signal)) {
    sizes.set(name, sizeBytes);
  }
  const keys = new KeyRing(source, masterKey);
  const dated: DatedBackup[] = [];
  const inSource = new Set<BackupId>();
  const gaps: CopyGap[] = [];
  for await (const found of readBackups({ storage: source, keys, instanceId }, signal)) {
    const { backupId, stored, error } = found;
    inSource.add(backupId);
    if (error) gaps.push({ backupId, problems: [`at the source: ${error.message}`] });
    else dated.push({ backupId, endedAt: stored.facts.backup.endedAt });
  }
  const checked = new Set<string>();
  let backups = 0;
  for (const backupId of planCopies(dated, rules)) {
    const place = { ...parts, storage: source, keys, backupId };
    const problems = await compareBackup({ place, target, masterKey, sizes, checked });
    if (problems === null) continue;
    backups++;
    if (problems.length > 0) gaps.push({ backupId, problems });
  }
  const copies = [...sizes.keys()].flatMap((name) => manifestId(name) ?? []);
  const onlyInCopy = copies.filter((id) => !inSource.has(id));
  const logGaps = await compareLog(parts);
  return { backups, objects: checked.size, gaps, logGaps, onlyInCopy };
}

/** Null: the backup was deleted at the source meanwhile. */
async function compareBackup(of: {
  readonly place: Parameters<typeof readWholeManifest>[0];
  readonly target: Storage;
  readonly masterKey: MasterKey;
  readonly sizes: ReadonlyMap<string, number>;
  readonly checked: Set<string>;
}): Promise<readonly string[] | null> {
  const { place, target, masterKey, sizes, checked } = of;
  const { instanceId, backupId, signal, storage } = place;
  const name = manifestObject(instanceId, backupId);
  const problems: string[] = [];
  try {
    const { bytes, header } = await readWholeManifest(place);
    const copied = await readIfPresent(target, name, signal);
    if (!copied) problems.push('its manifest is missing: it was not copied');
    else if (!copied.equals(bytes)) problems.push(`${name} differs from the source`);
    else
      await readWholeManifest({ ...place, storage: target, keys: new KeyRing(target, masterKey) });
    for (const object of copied ? objectsOf(header) : []) {
      checked.add(object.name);
      const found = sizes.get(object.name);
      if (found === object.size) continue;
      const what = found === undefined ? 'is missing' : `has ${found} bytes, not ${object.size}`;
      problems.push(`${object.name} ${what}`);
    }
  } catch (error) {
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    if (!(await isPresent(storage, name, signal))) return null;
    problems.push(error.message);
  }
  return problems.slice(0, problemsMax);
}

function manifestId(name: string): BackupId | null {
  const [, , , id = ''] = name.split('/');
  return name.endsWith('/manifest') ? (id as BackupId) : null;
}
