// Whether the files of a backup are as large as the history says. It keeps how many bytes of the
// backup are stored on disk (SQL Server documentation, "backupset", `compressed_backup_size`), and
// does not say what of a file counts: headers, blocks that are filled up. So what is a little
// shorter is doubtful, and told; only what is much shorter cannot be it. Pure.

export type SizeVerdict = 'whole' | 'doubtful' | 'short';

/** Less than this of what was recorded is another thing than a different way of counting. */
const plausibleShare = 0.9;

export function judgeSize(foundBytes: number, recordedBytes: number): SizeVerdict {
  if (foundBytes >= recordedBytes) return 'whole';
  return foundBytes >= recordedBytes * plausibleShare ? 'doubtful' : 'short';
}
