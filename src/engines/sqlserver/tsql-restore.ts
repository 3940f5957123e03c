// RESTORE DATABASE and RESTORE LOG (SQL Server documentation, "RESTORE", "RESTORE arguments").
// Every step leaves the database restoring or readable in standby; only `recoverStatement` ends
// that, or a step that ends the restore where it stops, so that a step too few is noticed while it
// can still be added.
import { CairnError } from '../../model/errors.ts';
import type { BackupDevices, ServerPlatform } from './devices.ts';
import { checkPath, deviceNameMax, renderDevices, renderRegion } from './devices.ts';
import { checkIdentifier, identifierMax, quoteText } from './identifier.ts';
import { formatLsn } from './lsn.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';
import { progressPercent } from './tsql-backup.ts';

export type StopPoint =
  /** What the clock of the server that wrote the log showed: `plan-stop-at.ts` converts to it. */
  | { readonly kind: 'time'; readonly localTime: string }
  | { readonly kind: 'lsn'; readonly lsn: bigint; readonly isInclusive: boolean }
  /** A transaction that was begun WITH MARK; the first one of that name. */
  | { readonly kind: 'mark'; readonly mark: string; readonly isInclusive: boolean };

export type MovedFile = { readonly logicalName: string; readonly path: string };

export type RestoreStep = {
  readonly kind: 'full' | 'differential' | 'log';
  readonly database: string;
  readonly platform: ServerPlatform;
  readonly devices: BackupDevices;
  /** Where each file of the backup goes; of a log only files that were added meanwhile. */
  readonly moves: readonly MovedFile[];
  /** The same on every log of a restore; null: all of it. */
  readonly stop: StopPoint | null;
  /** The file that undoes what is unfinished, to look at the database; null: it stays restoring. */
  readonly standbyPath: string | null;
  /**
   * `where-it-stops`: the database is opened if the stop lies in this backup of the log, and stays
   * restoring if it does not: so the server itself says where a mark is.
   */
  readonly recovers?: 'where-it-stops';
  /** The database there is, and the end of its log, is lost; asked for expressly. */
  readonly replace: 'never' | 'existing-database';
};

/** @throws invalid for what the server would refuse */
export function restoreStatement(step: RestoreStep): SqlStatement {
  checkStep(step);
  const parameters = new ParameterList();
  const database = parameters.sysname('database', checkIdentifier(step.database));
  const devices = renderDevices(step.devices, parameters);
  const options = [
    // Not for URLs, where each object holds one backup set.
    ...(step.devices.kind === 'disk' ? ['FILE = 1'] : []),
    ...moveOptions(step, parameters),
    afterwards(step, parameters),
    'CHECKSUM',
    ...(step.stop === null ? [] : [stopOption(step.stop, parameters)]),
    ...(step.replace === 'existing-database' ? ['REPLACE'] : []),
    ...renderRegion(step.devices, 'RESTORE_OPTIONS'),
    `STATS = ${progressPercent}`,
  ];
  return {
    name: `restore-${step.kind}`,
    text:
      `RESTORE ${step.kind === 'log' ? 'LOG' : 'DATABASE'} ${database} FROM ${devices}` +
      ` WITH ${options.join(', ')}`,
    parameters: parameters.items,
  };
}

/** Undoes what is unfinished and opens the database: nothing can be restored to it afterwards. */
export function recoverStatement(database: string): SqlStatement {
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  return {
    name: 'recover-database',
    text: `RESTORE DATABASE ${name} WITH RECOVERY`,
    parameters: parameters.items,
  };
}

function checkStep(step: RestoreStep): void {
  const { kind, moves, replace, stop, database } = step;
  if (step.recovers !== undefined && (kind !== 'log' || stop === null)) {
    throw new CairnError('invalid', `a ${kind} backup without a stop cannot end the restore`);
  }
  if (replace === 'existing-database' && kind !== 'full') {
    throw new CairnError('invalid', `only a full backup replaces the database ${database}`);
  }
  if (stop?.kind === 'mark' && kind !== 'log') {
    throw new CairnError('invalid', 'a mark can be looked for in backups of the log only');
  }
  const logicalNames = new Set(moves.map(({ logicalName }) => logicalName));
  const paths = new Set(moves.map(({ path }) => path.toLowerCase()));
  if (logicalNames.size < moves.length || paths.size < moves.length) {
    throw new CairnError('invalid', `two files of ${database} would be restored to one place`);
  }
}

function moveOptions(step: RestoreStep, parameters: ParameterList): readonly string[] {
  return step.moves.map(({ logicalName, path }, index) => {
    const number = index + 1;
    const from = parameters.text(`file${number}`, checkIdentifier(logicalName), identifierMax);
    const checked = checkPath(path, step.platform);
    return `MOVE ${from} TO ${parameters.text(`path${number}`, checked, deviceNameMax)}`;
  });
}

function afterwards(step: RestoreStep, parameters: ParameterList): string {
  if (step.recovers === 'where-it-stops') return 'RECOVERY';
  if (step.standbyPath === null) return 'NORECOVERY';
  const path = checkPath(step.standbyPath, step.platform);
  return `STANDBY = ${parameters.text('standby', path, deviceNameMax)}`;
}

function stopOption(stop: StopPoint, parameters: ParameterList): string {
  switch (stop.kind) {
    case 'time':
      if (!localTimePattern.test(stop.localTime)) {
        throw new CairnError('invalid', `${stop.localTime} is not a time of the server's clock`);
      }
      // A variable may be varchar or datetime, but not nvarchar or datetime2.
      return `STOPAT = ${parameters.ascii('stopat', stop.localTime, localTimeLength)}`;
    case 'lsn':
      return `${markWord(stop)} = ${quoteText(`lsn:${formatLsn(stop.lsn)}`, identifierMax)}`;
    case 'mark':
      return `${markWord(stop)} = ${quoteText(checkMark(stop.mark), identifierMax)}`;
  }
}

/** The grammar has no variable for marks. */
const markWord = ({ isInclusive }: { readonly isInclusive: boolean }): string =>
  isInclusive ? 'STOPATMARK' : 'STOPBEFOREMARK';

/** A mark that looks like a position would be taken for one. */
function checkMark(mark: string): string {
  if (/^lsn:/i.test(mark)) {
    throw new CairnError('invalid', `${mark} is a position of the log, not the name of a mark`);
  }
  return checkIdentifier(mark);
}

/** ISO 8601 with a `T`: read the same in every language and date format of a session. */
const localTimePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/;
const localTimeLength = 23;
