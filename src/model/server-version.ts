import { assertNever } from './assert.ts';
import type { Engine } from './engine-kind.ts';
import { isOlderSqlServer, isPublishedRestore, sqlServerYear } from './sqlserver-version.ts';

/**
 * The part of a full version that decides what can be restored where: `15.18` → `15`, `8.0.36` →
 * `8.0`, `16.0.4135.4-SE` → `2022_SE`.
 */
export function majorVersion(engine: Engine, serverVersion: string): string {
  const parts = serverVersion.split('.');
  switch (engine) {
    case 'postgresql':
      return parts[0] ?? serverVersion;
    case 'mysql':
      return parts.slice(0, 2).join('.');
    case 'sqlserver':
      return sqlServerYear(serverVersion);
    default:
      return assertNever(engine);
  }
}

/**
 * What speaks against restoring databases of one server into another: `older`, the target refuses
 * them; `unlisted`, the published API does not offer it. Null: nothing that can be told from here.
 */
export function findMismatch(
  engine: Engine,
  source: string,
  target: string,
): 'older' | 'unlisted' | null {
  switch (engine) {
    // Rows go into any version.
    case 'postgresql':
    case 'mysql':
      return null;
    case 'sqlserver':
      if (isOlderSqlServer(target, source)) return 'older';
      return isPublishedRestore(source, target) === false ? 'unlisted' : null;
    default:
      return assertNever(engine);
  }
}
