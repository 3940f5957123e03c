// A restore over an instance makes a second folder beside the first and changes over by one row of
// the catalog. What an attempt has to do follows from the state that the last one left in that row:
//
//   restoring  the old server is untouched          → copy (anew), then switch
//   switching  the copy is whole, the old stopped   → switch
//   active     the row names the new folder         → tidy up
//   failed     neither server could be started      → give up; the old folder stays
//
// The old folder is removed only in the third: by then the new server has answered queries.
import { basename, join } from 'node:path';
import type { InstanceId, JobId } from '../../model/ids.ts';
import type { InstanceState } from '../../model/instance.ts';

export type InPlaceStep = 'copy' | 'switch' | 'back' | 'tidy' | 'give-up';

export function planInPlace(found: {
  readonly status: InstanceState['status'];
  /** The copy is whole: the engine could start it. */
  readonly isPrepared: boolean;
}): InPlaceStep {
  switch (found.status) {
    case 'restoring':
      return 'copy';
    case 'switching':
      return found.isPrepared ? 'switch' : 'back';
    case 'active':
      return 'tidy';
    case 'failed':
    case 'building':
    case 'create-failed':
      return 'give-up';
  }
}

/**
 * The folder of the copy: the same in every attempt of the job, and never the one that it replaces.
 * Short, since the path of a socket is.
 */
export function planNewHome(options: {
  readonly serversDir: string;
  readonly instanceId: InstanceId;
  readonly jobId: JobId;
  readonly replacedHomeDir: string;
}): string {
  const { serversDir, instanceId, jobId, replacedHomeDir } = options;
  const home = join(serversDir, `${instanceId}.${jobId.slice(0, 8)}`);
  return home === replacedHomeDir ? `${home}b` : home;
}

/**
 * Folders of the instance among the names in the folder of all servers, but for the one in use.
 * That one is known by its name alone: its path may be written in two ways, through a link say.
 */
export function planOtherHomes(options: {
  readonly serversDir: string;
  readonly names: readonly string[];
  readonly instanceId: InstanceId;
  readonly currentHomeDir: string;
  readonly replacedHomeDir: string;
}): readonly string[] {
  const { serversDir, names, instanceId, currentHomeDir, replacedHomeDir } = options;
  const own = names
    .filter((name) => name === instanceId || name.startsWith(`${instanceId}.`))
    .map((name) => join(serversDir, name));
  const inUse = basename(currentHomeDir);
  return [...new Set([replacedHomeDir, ...own])].filter((home) => basename(home) !== inUse);
}
