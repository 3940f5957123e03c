// DBCC CHECKDB of a restored database, and what its end means: that there is damage, that it could
// not look, and that the login may not have it look are three things, and only the first one says
// something about the backup (SQL Server documentation, "DBCC CHECKDB", "Database Engine errors").
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { SqlSession } from './session.ts';
import { checkDatabaseStatement } from './tsql-database.ts';

export type CheckOptions = { readonly signal: AbortSignal; readonly silenceMaxMs: number };

/**
 * @returns a line for people: what was looked at
 * @throws engine-refused when the server finds damage, or cannot look for it
 */
export async function checkDatabase(
  session: SqlSession,
  { workName, oldName }: { readonly workName: string; readonly oldName: string },
  options: CheckOptions,
): Promise<string> {
  try {
    const rows = await session.run(checkDatabaseStatement(workName), options);
    if (rows.length > 0) throw damaged(oldName, JSON.stringify(rows[0]));
    return 'DBCC CHECKDB: no errors';
  } catch (error) {
    const number = isErrorKind(error, 'engine-refused') ? error.details['number'] : undefined;
    // Without a number it was not the server that said so.
    if (!isErrorKind(error, 'engine-refused') || typeof number !== 'number') throw error;
    if (mayNotLook.includes(number)) {
      return 'DBCC CHECKDB was not run, the login may not: have somebody run it who may';
    }
    throw isDamage(number) ? damaged(oldName, error.message, error) : notChecked(oldName, error);
  }
}

/** The login has no user in it, or is not its owner. */
const mayNotLook: readonly number[] = [229, 262, 916, 2571];
/** No room for its snapshot, or no sparse files; tempdb is full; it was stopped. */
const couldNotLook: readonly number[] = [7928, 7929, 8921];
/** Reading a page: another one than was asked for, an error of the disk, a wrong checksum. */
const readErrors: readonly number[] = [605, 823, 824, 825];

/** What DBCC finds has numbers of its own. */
function isDamage(number: number): boolean {
  const isOfDbcc =
    (number >= 2500 && number <= 2599) ||
    (number >= 5200 && number <= 5299) ||
    (number >= 7900 && number <= 7999) ||
    (number >= 8900 && number <= 8999);
  return readErrors.includes(number) || (isOfDbcc && !couldNotLook.includes(number));
}

function damaged(name: string, what: string, cause?: unknown): CairnError {
  return new CairnError(
    'engine-refused',
    `DBCC CHECKDB finds the restored database ${name} damaged: ${what}`,
    {
      hint:
        'it was not kept; restore an older backup, or this one by hand from its .bak files to ' +
        'save what can be read',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function notChecked(name: string, cause: CairnError): CairnError {
  return new CairnError(
    'engine-refused',
    `DBCC CHECKDB could not look through the restored database ${name}: ${cause.message}`,
    {
      hint:
        'it was not kept, and nothing is known against the backup: it needs room for a snapshot ' +
        'beside the files of the database, and in tempdb',
      details: cause.details,
      cause,
    },
  );
}
