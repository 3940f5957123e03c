import type { BackupId } from './ids.ts';
import type { LogPosition } from './log-position.ts';

/** Where replay stops. */
export type RecoveryTarget =
  | { readonly kind: 'end-of-backup'; readonly backupId: BackupId }
  | { readonly kind: 'time'; readonly at: Date }
  | { readonly kind: 'log-position'; readonly position: LogPosition }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'latest' };
