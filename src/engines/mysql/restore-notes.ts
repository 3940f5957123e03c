// What a restore reads of a backup's notes.
import { CairnError } from '../../model/errors.ts';
import type { EngineNotes } from '../engine.ts';
import type { MysqlTools } from './server-binaries.ts';
import type { Settings } from './server-config.ts';
import { localSettings } from './server-config.ts';

export type RestoreNotes = {
  readonly kind: 'physical' | 'logical';
  /** That a server on the data needs. */
  readonly settings: Settings;
};

/** @throws repository-damaged */
export function readRestoreNotes(notes: EngineNotes): RestoreNotes {
  const { kind, settings } = notes;
  if (kind !== 'physical' && kind !== 'logical') {
    throw new CairnError('repository-damaged', `a backup of kind ${String(kind)} is not known`, {
      hint: 'it may have been taken by a newer Cairn',
    });
  }
  const entries = typeof settings === 'object' && settings !== null ? Object.entries(settings) : [];
  const known = Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
  return { kind, settings: localSettings(known) };
}

/** @throws engine-refused when it is not installed */
export function needTool(tools: MysqlTools, name: keyof MysqlTools): string {
  const path = tools[name];
  if (path !== null) return path;
  throw new CairnError('engine-refused', `the ${name} program of the server is not installed`, {
    hint: 'install mariadb-server, mariadb-client and mariadb-backup of the release series',
  });
}
