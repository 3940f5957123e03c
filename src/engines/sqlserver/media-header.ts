import type { BackupRecord, BackupType } from './backup-record.ts';
import type { SqlRow } from './session.ts';

/** SQL Server documentation, "RESTORE HEADERONLY". */
const headerTypes: Readonly<Partial<Record<BackupType, number>>> = {
  ...{ full: 1, log: 2, differential: 5 },
};

/** Whether what was read from it holds this backup, and no other. */
export function isHeaderOf(
  rows: readonly SqlRow[],
  { id, type }: Pick<BackupRecord, 'id' | 'type'>,
): boolean {
  const [row = {}] = rows;
  return (
    rows.length === 1 &&
    String(row['BackupSetGUID']).toLowerCase() === id &&
    row['BackupType'] === headerTypes[type]
  );
}
