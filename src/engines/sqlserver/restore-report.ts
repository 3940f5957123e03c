// What people are told about a restored database: where it is, what it was made of, what was looked
// at, and what a backup of a database does not hold.
import type { RestoredDatabase } from '../engine.ts';
import { formatLsn } from './lsn.ts';
import type { WholeDatabase } from './restore-database.ts';
import type { PlannedDatabase } from './restore-log.ts';
import { readDatabases } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import type { SqlSession } from './session.ts';
import type { StopPoint } from './tsql-restore.ts';

export type RestoreFacts = {
  readonly planned: readonly PlannedDatabase[];
  /** Of each, in the same order. */
  readonly whole: readonly WholeDatabase[];
  /** About the whole restore. */
  readonly doubts: readonly string[];
  readonly server: ServerInfo;
  readonly signal: AbortSignal;
};

/** While they have their hidden names. @throws what the session throws */
export async function describeRestored(
  session: SqlSession,
  { planned, whole, doubts, server, signal }: RestoreFacts,
): Promise<readonly (RestoredDatabase & { readonly notes: readonly string[] })[]> {
  const databases = await readDatabases(session, signal);
  return planned.map((one, index) => {
    const { oldName, newName, workName } = one;
    const level = databases.find(({ name }) => name === workName)?.compatibilityLevel ?? null;
    const notes = [
      ...describeWhole(one, whole[index] ?? { files: [], logCount: 0, checked: '' }),
      ...doubts,
      ...(level === null ? [] : [describeLevel(level, server)]),
      loginsNote,
    ];
    return { oldName, newName, tableCount: null, rowCount: null, notes };
  });
}

const loginsNote =
  'logins are not in the backup: ALTER USER … WITH LOGIN = … ties a user to one of this server';

function describeLevel(level: number, { majorVersion }: ServerInfo): string {
  const own = majorVersion * 10;
  return level === own
    ? `compatibility level ${level}`
    : `compatibility level ${level} as in the backup; that of this server is ${own}`;
}

function describeWhole(
  planned: PlannedDatabase,
  { files, logCount, checked }: WholeDatabase,
): readonly string[] {
  const { full, differential, stop } = planned;
  const logs = planned.logs.slice(0, logCount);
  const moved = files.map(({ logicalName, path }) => `${logicalName} in ${path}`).join(', ');
  const [first, last] = [logs[0]?.record, logs.at(-1)?.record];
  return [
    `files: ${moved}`,
    `full backup ${full.id}, finished ${full.finishedLocal} by the server's clock` +
      (differential === null ? '' : `, with the differential of ${differential.finishedLocal}`),
    first === undefined || last === undefined
      ? 'no log was replayed'
      : `log was replayed from ${formatLsn(first.firstLsn)} to ${formatLsn(last.lastLsn)}, ` +
        `${logCount} backups of it, ${describeStop(stop)}`,
    `RESTORE VERIFYONLY: valid; ${checked}`,
  ];
}

function describeStop(stop: StopPoint | null): string {
  switch (stop?.kind) {
    case undefined:
      return 'to its end';
    case 'time':
      return `as far as ${stop.localTime} by the clock of the server that wrote it`;
    case 'lsn':
      return `as far as position ${formatLsn(stop.lsn)}`;
    case 'mark':
      return `as far as the mark ${stop.mark}`;
  }
}
