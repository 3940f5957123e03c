// What the two databases say when they refuse, as one of our kinds. Both drivers pass every failure
// through here, so that nothing above them ever sees an error of a library. Row values stay out of
// the texts.
import type { ErrorKind } from '../model/errors.ts';
import { CairnError, isErrorKind } from '../model/errors.ts';

const tryAgain = 'try again; if it keeps failing, check the database of the catalog';

/**
 * SQLSTATE codes and classes that mean "not now":
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const postgresUnavailable = /^(08...|57P0.|57014|53[023]00|40001|40P01|55P03|25P03|28...|3D000)$/;

/** Failures of the connection itself carry no SQLSTATE but a code of the socket, or only a text. */
const socketCodes =
  /^(ECONN\w+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|ENOENT)$/;
const socketTexts = /timeout|terminated|not queryable|connection error|closed|after calling end/i;

/** Failures that the connection does not survive: the pool must drop it. */
export function isConnectionLost(error: unknown): boolean {
  const code = textOf(error, 'code');
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P0)/.test(code);
}

export function fromPostgresError(error: unknown): CairnError {
  if (error instanceof CairnError) return error;
  const code = textOf(error, 'code');
  const constraint = textOf(error, 'constraint');
  if (code === '23505') return uniqueError(constraint, error);
  if (code === '23503') return referenceError(error);
  if (code === '53100') return catalogError('storage-full', error);
  const isUnavailable =
    postgresUnavailable.test(code) ||
    socketCodes.test(code) ||
    (code === '' && socketTexts.test(messageOf(error)));
  return catalogError(isUnavailable ? 'storage-unavailable' : 'bug', error);
}

/** Primary result codes: https://www.sqlite.org/rescode.html */
const sqlite = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;
const sqliteUnavailable: readonly number[] = [
  sqlite.busy,
  sqlite.locked,
  sqlite.readOnly,
  sqlite.ioError,
  sqlite.corrupt,
  sqlite.cannotOpen,
  sqlite.notADatabase,
];
const sqliteExtended = { foreignKey: 787, primaryKey: 1555, unique: 2067 } as const;

/** Another process holds the lock: waiting helps. */
export function isSqliteBusy(error: unknown): boolean {
  const code = sqliteCode(error) & 0xff;
  return code === sqlite.busy || code === sqlite.locked;
}

export function fromSqliteError(error: unknown): CairnError {
  if (error instanceof CairnError) return error;
  const code = sqliteCode(error);
  if (code === sqliteExtended.unique || code === sqliteExtended.primaryKey) {
    // `UNIQUE constraint failed: backups.project_id, backups.name` names what PostgreSQL's index is
    // called.
    const columns = messageOf(error).split(': ')[1] ?? '';
    const constraint = columns.replaceAll(/(, )\w+\./g, '_').replace('.', '_');
    return uniqueError(constraint, error);
  }
  if (code === sqliteExtended.foreignKey) return referenceError(error);
  if ((code & 0xff) === sqlite.full) return catalogError('storage-full', error);
  const isUnavailable =
    sqliteUnavailable.includes(code & 0xff) || /database is not open/.test(messageOf(error));
  return catalogError(isUnavailable ? 'storage-unavailable' : 'bug', error);
}

/**
 * Waits for a write and, when it violates the named unique index (`<table>_<column>_<column>`),
 * says so in the words of the caller.
 */
export async function explainConflict<T>(
  write: Promise<T>,
  texts: Readonly<Record<string, string>>,
): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (!isErrorKind(error, 'conflict')) throw error;
    const text = texts[String(error.details['constraint'])];
    throw text === undefined ? error : new CairnError('conflict', text, { cause: error });
  }
}

function uniqueError(constraint: string, cause: unknown): CairnError {
  const details = { constraint };
  return new CairnError('conflict', `exists already in the catalog: ${constraint}`, {
    details,
    cause,
  });
}

function referenceError(cause: unknown): CairnError {
  const text = 'what a catalog row refers to does not exist, or is still referred to';
  return new CairnError('conflict', text, { cause });
}

function catalogError(kind: ErrorKind, cause: unknown): CairnError {
  const text = `catalog database: ${messageOf(cause)}`;
  return new CairnError(kind, text, kind === 'bug' ? { cause } : { hint: tryAgain, cause });
}

function sqliteCode(error: unknown): number {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : 0;
  return typeof code === 'number' ? code : 0;
}

function textOf(error: unknown, key: 'code' | 'constraint'): string {
  if (typeof error !== 'object' || error === null || !(key in error)) return '';
  const value = (error as Readonly<Record<string, unknown>>)[key];
  return typeof value === 'string' ? value : '';
}

/** Several addresses of one host that all refuse come as an AggregateError with an empty text. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return textOf(error, 'code') || error.name;
}
