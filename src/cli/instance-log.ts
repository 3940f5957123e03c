import type { LogArchiveWire } from '../api/schema/log-archive.ts';
import { formatBytes } from '../model/units.ts';

/** What `instance show` says of the archived log. */
export function describeLogArchive(
  archive: LogArchiveWire | null,
): readonly [string, string | number | null][] {
  if (!archive) return [['log archive', 'none']];
  const { behind_bytes: behindBytes, behind_seconds: behindSeconds, trouble, warning } = archive;
  const notice = warning && `${warning.message}${warning.hint ? ` → ${warning.hint}` : ''}`;
  const gap = archive.last_gap;
  return [
    ['log archive', archive.status],
    ['log since', archive.since],
    ['log covered until', archive.covered_until],
    ['log stored up to', archive.stored_position],
    ['at risk now', behindSeconds === null ? null : `${behindSeconds} s`],
    ['not stored yet', behindBytes === null ? null : formatBytes(behindBytes)],
    ['log trouble', trouble && `${trouble.message} (since ${trouble.since})`],
    ['what to do', trouble?.hint ?? null],
    ['log warning', notice],
    ['last gap', gap && `${gap.at}: ${gap.reason}`],
  ];
}
