import { assertNever } from '../model/assert.ts';
import type { ErrorKind } from '../model/errors.ts';

/** What scripts rely on; `docs/command-line.md` lists them. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  access: 5,
  engine: 6,
  storage: 7,
  damaged: 8,
  cancelled: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export function exitCodeOf(kind: ErrorKind): ExitCode {
  switch (kind) {
    case 'invalid':
      return exitCodes.usage;
    case 'not-found':
      return exitCodes.notFound;
    case 'conflict':
      return exitCodes.conflict;
    case 'unauthenticated':
    case 'forbidden':
      return exitCodes.access;
    case 'engine-unreachable':
    case 'engine-refused':
      return exitCodes.engine;
    case 'storage-unavailable':
    case 'storage-full':
      return exitCodes.storage;
    case 'repository-damaged':
    case 'log-gap':
      return exitCodes.damaged;
    case 'cancelled':
      return exitCodes.cancelled;
    case 'bug':
      return exitCodes.failed;
    default:
      return assertNever(kind);
  }
}
