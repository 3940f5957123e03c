import type { DatabaseName, TableName } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';

/** `NAMEDATALEN` without its end, PostgreSQL documentation, "Lexical Structure". */
const nameBytesMax = 63;
/** Databases that are being restored are called so. */
export const reservedPrefix = 'cairn_restore_';

/** @throws invalid for a name that no database can have, or that two shall have */
export function assertNewNames(databases: readonly DatabaseName[]): void {
  if (databases.length === 0) throw invalidName('no database is named');
  const seen = new Set<string>();
  for (const { newName } of databases) {
    assertName(newName);
    if (newName.startsWith(reservedPrefix)) {
      throw invalidName(`names that begin with ${reservedPrefix} are kept for restores that run`);
    }
    if (seen.has(newName)) throw invalidName(`two databases shall be called “${newName}”`);
    seen.add(newName);
  }
}

/** @throws invalid for a name that no table can have, or that two of a schema shall have */
export function assertTableNames(tables: readonly TableName[]): void {
  const seen = new Set<string>();
  for (const { schema, newName } of tables) {
    assertName(newName);
    const place = JSON.stringify([schema, newName]);
    if (seen.has(place)) throw invalidName(`two tables shall be called “${newName}”`);
    seen.add(place);
  }
}

function assertName(name: string): void {
  const sizeBytes = Buffer.byteLength(name);
  if (sizeBytes > 0 && sizeBytes <= nameBytesMax && !/\p{Cc}/u.test(name)) return;
  throw invalidName(`“${name}” cannot be a name`);
}

function invalidName(message: string): CairnError {
  return new CairnError('invalid', message, {
    reason: 'database-name-invalid',
    hint: `a name has 1 to ${nameBytesMax} bytes and no control characters`,
  });
}
