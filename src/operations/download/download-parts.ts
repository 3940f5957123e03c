import type { Repository } from '../../repository/repository.ts';
import type { RequestParts } from '../parts.ts';

export type DownloadSettings = {
  readonly repository: Pick<Repository, 'openReader' | 'readContents'>;
  /** Signs links; the same on every replica, and never logged. */
  readonly linkKey: Buffer;
  /** How long a link can be begun with. */
  readonly linkLifetimeMs: number;
};

export type DownloadParts = Pick<RequestParts, 'catalog' | 'engines' | 'clock'> & {
  readonly downloads: DownloadSettings;
};
