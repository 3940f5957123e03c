// Names and literals in T-SQL (SQL Server documentation, "Database identifiers", "QUOTENAME",
// "Constants"). Values travel as parameters wherever the grammar has room for one; this is for the
// few statements that have none. Nothing here depends on QUOTED_IDENTIFIER.
import { CairnError } from '../../model/errors.ts';

/** The longest name of anything, in UTF-16 units. */
export const identifierMax = 128;

/**
 * `[name]`, with every `]` doubled: nothing else ends a bracketed identifier.
 * @throws invalid for a name that no server has
 */
export function quoteIdentifier(name: string): string {
  return `[${checkIdentifier(name).replaceAll(']', ']]')}]`;
}

/**
 * `N'text'`, with every `'` doubled.
 * @throws invalid when it is longer than `lengthMax` UTF-16 units, or holds what no text can
 */
export function quoteText(text: string, lengthMax: number): string {
  return `N'${checkText(text, { what: 'text', lengthMax }).replaceAll("'", "''")}'`;
}

/** The name as it is. @throws invalid unless it has 1 to 128 UTF-16 units, without NUL */
export function checkIdentifier(name: string): string {
  if (name === '') {
    throw new CairnError('invalid', 'a name of SQL Server must not be empty');
  }
  return checkText(name, { what: 'name', lengthMax: identifierMax });
}

/**
 * The text as it is. A half of a surrogate pair would be another name on its way to the server and
 * back. @throws invalid
 */
export function checkText(
  text: string,
  { what, lengthMax }: { readonly what: string; readonly lengthMax: number },
): string {
  if (text.length > lengthMax) {
    throw new CairnError('invalid', `the ${what} has ${text.length} characters`, {
      hint: `SQL Server takes up to ${lengthMax}.`,
    });
  }
  if (text.includes('\0') || !text.isWellFormed()) {
    throw new CairnError('invalid', `the ${what} ${JSON.stringify(text)} is not a valid text`, {
      hint: 'It holds a NUL or half of a surrogate pair.',
    });
  }
  return text;
}
