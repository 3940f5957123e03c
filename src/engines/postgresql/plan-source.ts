// Which way of taking a base backup is the best for a server. Pure.
import { majorVersionMax } from './server-settings.ts';

/**
 * `increment`: the server sends changed pages only. `pages`: files that changed are read over
 * several SQL connections. `stream`: the server sends everything in one stream.
 */
export type BackupSource = 'increment' | 'pages' | 'stream';

export type SourceFacts = {
  readonly major: number;
  readonly isInRecovery: boolean;
  /** `summarize_wal` is on. */
  readonly summarizesLog: boolean;
  /** Why the server cannot send what changed since the previous backup; null: nothing known. */
  readonly incrementRefusal: string | null;
  /** Functions that reading files needs and the role may not use. */
  readonly missingRights: readonly string[];
};

export type SourcePlan = {
  readonly source: BackupSource;
  /** Why it is none of the better ones, in their order. */
  readonly reasons: readonly string[];
};

export const incrementMajorMin = 17;

export function planSource(facts: SourceFacts): SourcePlan {
  const increment = refuseIncrement(facts);
  if (increment === null) return { source: 'increment', reasons: [] };
  const pages = pagesRefusal(facts);
  if (pages === null) return { source: 'pages', reasons: [increment] };
  return { source: 'stream', reasons: [increment, pages] };
}

function refuseIncrement({ major, summarizesLog, incrementRefusal }: SourceFacts): string | null {
  if (major < incrementMajorMin) return `PostgreSQL ${major} does not know what changed`;
  if (!summarizesLog) return 'summarize_wal is off';
  return incrementRefusal;
}

function pagesRefusal({ major, isInRecovery, missingRights }: SourceFacts): string | null {
  if (major > majorVersionMax) return `what PostgreSQL ${major} leaves out is not known`;
  if (isInRecovery) return 'the server is a standby';
  if (missingRights.length === 0) return null;
  return `the role may not use ${missingRights.join(', ')}`;
}
