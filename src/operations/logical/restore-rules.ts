// Which server a backup's databases may be restored into, by the published rules of the API or by
// what the servers themselves refuse.
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { Instance } from '../../model/instance.ts';
import { findMismatch, majorVersion } from '../../model/server-version.ts';
import { assertSameServer } from '../restore/restore-point.ts';

/** `published`: of the RDS API; `server`: only what a server would refuse. */
export type RestoreRules = 'published' | 'server';

/** @throws invalid */
export function assertTarget(
  backup: Backup,
  { engine, serverVersion }: Pick<Instance, 'engine' | 'serverVersion'>,
  rules: RestoreRules,
): void {
  assertSameServer(backup, { engine, version: null });
  if (serverVersion === null) return;
  const mismatch = findMismatch(engine, backup.serverVersion, serverVersion);
  if (mismatch === null || (mismatch === 'unlisted' && rules === 'server')) return;
  const [from, to] = [backup.serverVersion, serverVersion].map((text) =>
    majorVersion(engine, text),
  );
  throw new CairnError('invalid', `a backup of ${from} is not restored to ${to}`, {
    reason: 'version-mismatch',
    hint:
      mismatch === 'older'
        ? 'restore it to a server of the same version or a newer one'
        : 'the API does not offer it; “cairn restore --into” does what the server allows',
  });
}
