// Whether the server can be asked what has changed since the previous backup (PostgreSQL
// documentation, chapters "Continuous Archiving and Point-in-Time Recovery", "Making an Incremental
// Backup", and "Frontend/Backend Protocol", `UPLOAD_MANIFEST`). The server itself looks at system
// identifier, timelines and log positions, and at the summaries of its log. What it cannot see
// happens while it is down: its disk is set back to an earlier state (a restore, a snapshot), and
// other log gets the same positions, down to backups that begin at the same place of a segment; or
// every page is written anew, without log, as `pg_checksums` does. So it must be the very server
// that ran when the previous backup was taken, not stopped since.
import type { Finding, PreviousBackup } from '../engine.ts';
import { manifestPath } from './backup-manifest.ts';
import { parseNotes } from './backup-notes.ts';
import { incrementMajorMin } from './plan-source.ts';
import type { ServerSettings } from './server-settings.ts';

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
  settings: Pick<ServerSettings, 'major' | 'blockSizeBytes' | 'serverStartMs'>,
): string | null {
  const { startPosition, serverVersion } = previous;
  if (startPosition.engine !== 'postgresql') return 'the previous backup is of another engine';
  if (Number.parseInt(serverVersion, 10) !== settings.major) {
    return `the previous backup is of PostgreSQL ${serverVersion}`;
  }
  const { blockSizeBytes, serverStartMs } = parseNotes(previous.notes);
  if (blockSizeBytes !== settings.blockSizeBytes) {
    return 'the previous backup has blocks of another size';
  }
  if (serverStartMs !== settings.serverStartMs) {
    return 'the server was started again since the previous backup, or is another one';
  }
  return previous.findFile(manifestPath) ? null : 'the previous backup has no manifest';
}
