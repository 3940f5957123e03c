// A restore beside a server whose files are mostly what the backup has: where the file system can,
// they are cloned first, and only the pages in which they differ are written. The server may run
// meanwhile, and loses nothing: it is read only, and every page is compared before it counts.
import { join, relative } from 'node:path';
import type { Clone } from '../../platform/clone-files.ts';
import type { RestorePlan } from './restore-plan.ts';

/** Smaller files are written as quickly. */
const cloneBytesMin = 32 * 1024;

export type Seed = {
  readonly dataDir: string;
  /** Where its tablespaces are, by OID. */
  readonly tablespaces: Readonly<Record<string, string>>;
};

/** Pure. What of the plan's files may be in the seed, and where. */
export function planClones(
  { extractions, tablespaces }: Pick<RestorePlan, 'extractions' | 'tablespaces'>,
  { dataDir, sizes }: { readonly dataDir: string; readonly sizes: ReadonlyMap<string, number> },
  seed: Seed,
): readonly Clone[] {
  const roots = tablespaces.flatMap(({ oid, targetDir }) => {
    const from = seed.tablespaces[oid];
    return from === undefined ? [] : [{ from, to: targetDir }];
  });
  return extractions.flatMap(({ path, targetPath }) => {
    if ((sizes.get(path) ?? 0) < cloneBytesMin) return [];
    const root = [...roots, { from: seed.dataDir, to: dataDir }].find(({ to }) =>
      targetPath.startsWith(`${to}/`),
    );
    if (!root) return [];
    return [{ fromPath: join(root.from, relative(root.to, targetPath)), toPath: targetPath }];
  });
}
