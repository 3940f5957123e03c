import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { Instance } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { findObstacle, insertBackup } from './accept-backup.ts';

type Parts = { readonly clock: Clock; readonly random: Random };

/**
 * Accepts a backup that nobody asked for by name; null when one is being made already, or the
 * instance is busy with something else: whoever asks tries again later, or does not. Must be called
 * in a transaction that has read the instance in it.
 */
export async function acceptAutomatedBackup(
  tx: CatalogSession,
  parts: Parts,
  instance: Instance,
  options: { readonly namedAfter: Date; readonly description: string },
): Promise<Backup | null> {
  if (await findObstacle(tx, instance)) return null;
  if (await tx.backups.findBuilding(instance.id)) return null;
  const { description, namedAfter } = options;
  const name = await findFreeName(tx, instance, namedAfter, parts.random);
  return await insertBackup(tx, parts, instance, {
    name,
    description,
    type: 'auto',
    databases: [],
  });
}

/** With moment and number the name is no longer than one that a user may give: 64. */
const instancePartMax = 36;

/** `auto-shop-20260105T0200`; if a backup has that name already, a number follows. */
async function findFreeName(
  tx: CatalogSession,
  instance: Instance,
  at: Date,
  random: Random,
): Promise<string> {
  const moment = at.toISOString().slice(0, 16).replaceAll(/[-:]/g, '');
  const base = `auto-${instance.name.slice(0, instancePartMax)}-${moment}`;
  for (const suffix of ['', '-2', '-3', '-4']) {
    if (!(await tx.backups.isNameTaken(instance.projectId, base + suffix))) return base + suffix;
  }
  return `${base}-${random.hex(4)}`;
}
