import { assertNever } from './assert.ts';
import type { Engine } from './engine-kind.ts';

/**
 * The part of a full version that decides what can be restored where: `15.18` → `15`, `8.0.36` →
 * `8.0`.
 */
export function majorVersion(engine: Engine, serverVersion: string): string {
  const parts = serverVersion.split('.');
  switch (engine) {
    case 'postgresql':
      return parts[0] ?? serverVersion;
    case 'mysql':
      return parts.slice(0, 2).join('.');
    case 'sqlserver':
      return serverVersion;
    default:
      return assertNever(engine);
  }
}
