// What a restore of databases or tables of a moment carries in its job, and what it reports.
import type { DatabaseName, TableCopyOptions } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { JobPayload } from '../../model/job.ts';
import type { RestorePayload } from '../job-payloads.ts';
import { formatRestorePayload, parseRestorePayload } from '../job-payloads.ts';
import type { DatabaseRestoreReport } from './restore-payload.ts';

/** What of a server is restored. */
export type PartsSelection =
  | { readonly kind: 'databases'; readonly databases: readonly DatabaseName[] }
  | { readonly kind: 'tables'; readonly databases: TableCopyOptions['databases'] };

export type PartsRestorePayload = RestorePayload & { readonly selection: PartsSelection };

export type TablesReport = {
  readonly kind: 'restored-tables';
  readonly backupId: RestorePayload['backupId'];
  readonly tableCount: number;
  readonly rowCount: number;
};
export type PartsReport = DatabaseRestoreReport | TablesReport;

export function formatPartsRestore({ selection, ...restore }: PartsRestorePayload): JobPayload {
  return { ...formatRestorePayload(restore), selection };
}

/** @throws bug */
export function parsePartsRestore(payload: JobPayload): PartsRestorePayload {
  const selection = payload['selection'];
  if (typeof selection === 'object' && selection !== null && 'kind' in selection) {
    // Written by `formatPartsRestore` alone.
    return { ...parseRestorePayload(payload), selection: selection as PartsSelection };
  }
  throw new CairnError('bug', 'job payload has no valid selection');
}
