// Whether the server can be asked what has changed since the previous backup (PostgreSQL
// documentation, chapters "Continuous Archiving and Point-in-Time Recovery", "Making an Incremental
// Backup", and "Frontend/Backend Protocol", `UPLOAD_MANIFEST`). The server itself looks at system
// identifier, timelines and log positions, and at the summaries of its log. It cannot see that its
// disk was set back to an earlier state and that other log has the same positions now. So we look
// for one trace: summaries end where checkpoints begin, and a backup begins with a checkpoint.
import { formatLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Finding, PreviousBackup } from '../engine.ts';
import { manifestPath } from './backup-manifest.ts';
import { parseNotes } from './backup-notes.ts';
import type { Query } from './connection.ts';
import { incrementMajorMin } from './plan-source.ts';
import type { ServerSettings } from './server-settings.ts';

const summaryTimeoutMs = 60_000;
const summaryPollMs = 500;

/** Backups work either way; this says whether the server can send changes only. */
export function checkSummaries({ major, values }: ServerSettings): readonly Finding[] {
  const check = 'summarize_wal';
  if (major < incrementMajorMin) return [];
  if (values.summarize_wal === 'on') {
    const message = 'summarize_wal is on: later backups are sent what has changed';
    return [{ check, severity: 'fine', message, hint: null }];
  }
  const hint = "to be sent only what has changed, run: alter system set summarize_wal = 'on'";
  const message = 'summarize_wal is off: the server does not know what changes between backups';
  return [{ check, severity: 'fine', message, hint: `${hint}; select pg_reload_conf()` }];
}

/** Null when the backup can be built upon, as far as its own notes tell. Pure. */
export function refusePrevious(
  previous: PreviousBackup,
  settings: Pick<ServerSettings, 'major' | 'blockSizeBytes'>,
): string | null {
  const { startPosition, serverVersion, notes } = previous;
  if (startPosition.engine !== 'postgresql') return 'the previous backup is of another engine';
  if (Number.parseInt(serverVersion, 10) !== settings.major) {
    return `the previous backup is of PostgreSQL ${serverVersion}`;
  }
  if (parseNotes(notes).blockSizeBytes !== settings.blockSizeBytes) {
    return 'the previous backup has blocks of another size';
  }
  return previous.findFile(manifestPath) ? null : 'the previous backup has no manifest';
}

/**
 * Whether the summaries of the log know the place where the previous backup began; waits for them
 * to come so far. Null when they do.
 */
export async function refuseSummaries(
  query: Query,
  { startPosition }: Pick<PreviousBackup, 'startPosition'>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string | null> {
  if (startPosition.engine !== 'postgresql') return 'the previous backup is of another engine';
  const lsn = formatLsn(startPosition.lsn);
  const untilMs = clock.monotonicMs() + summaryTimeoutMs;
  do {
    const [row] = await query(
      `select exists (
         select from pg_available_wal_summaries()
         where tli = $1 and $2::pg_lsn in (start_lsn, end_lsn)
       ) as is_known, summarized_lsn > $2::pg_lsn as is_past
       from pg_get_wal_summarizer_state()`,
      [startPosition.timeline, lsn],
    );
    if (row?.is_known === true) return null;
    if (row?.is_past === true) return `the summaries of the log do not know its start at ${lsn}`;
    await clock.sleep(summaryPollMs, signal);
  } while (clock.monotonicMs() < untilMs);
  return `the log is not summarized up to ${lsn} yet`;
}
