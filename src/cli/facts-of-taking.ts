import type { BackupReportWire } from '../api/schema/maintenance.ts';
import { formatBytes } from '../model/units.ts';

const sources: Readonly<Record<string, string>> = {
  differential: 'the server wrote what has changed since its last full backup (differential)',
  full: 'the server wrote everything (full)',
  increment: 'the server sent what has changed (increment)',
  pages: 'files that were written were read (pages)',
  stream: 'the server sent everything (stream)',
};

/** How a backup was taken, and why in no better way. */
export function factsOfTaking(report: BackupReportWire | null): [string, string | null][] {
  if (!report) return [];
  return [
    ['taken', sources[report.source] ?? report.source],
    ['because', report.reasons.join('; ') || null],
    ['read', formatBytes(report.read_bytes)],
    ['kept unread', formatBytes(report.kept_bytes)],
  ];
}
