import type { DatabaseName, TableName } from '../../engines/engine.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { RestoreRules } from './restore-rules.ts';

type NameRule = { readonly isName: (name: string) => boolean; readonly text: string };

const hasControls = (name: string): boolean => /\p{Cc}/u.test(name);
const isWithin = (length: number, max: number): boolean => length > 0 && length <= max;

const rules: Readonly<Record<Engine, NameRule>> = {
  // `NAMEDATALEN` without its end, PostgreSQL documentation, "Lexical Structure".
  postgresql: {
    isName: (name) => isWithin(Buffer.byteLength(name), 63) && !hasControls(name),
    text: 'a name has 1 to 63 bytes and no control characters',
  },
  // MariaDB documentation, "Identifier Names"; MySQL's, "Schema Object Names".
  mysql: {
    isName: (name) =>
      isWithin([...name].length, 64) &&
      !hasControls(name) &&
      !/ $|[\u{10000}-\u{10ffff}]/u.test(name),
    text: 'a name has 1 to 64 characters, no control characters, no emoji, and no blank at its end',
  },
  // Transact-SQL reference, "Database Identifiers".
  sqlserver: {
    isName: (name) =>
      isWithin(name.length, 128) && !hasControls(name) && !systemNames.has(name.toLowerCase()),
    text: 'a name has 1 to 128 characters, no control characters, and is none of the server’s own',
  },
};

const systemNames = new Set(['master', 'model', 'msdb', 'tempdb', 'resource', 'distribution']);

/** What the RDS API takes for a new name of SQL Server, besides what the server takes. */
const published: NameRule = {
  isName: (name) =>
    /^[A-Za-z0-9_-]{1,64}$/.test(name) && !/rdsadmin|master|msdb|tempdb|model|resource/i.test(name),
  text: 'a new name has 1 to 64 letters, digits, - and _, and holds no name of the server’s own',
};

/** Databases that are being restored are called so. */
export const reservedPrefix = 'cairn_restore_';

/**
 * `published` rules also keep to what the RDS API takes; they do not look at a name that stays.
 * @throws invalid for a name that no database can have, or that two shall have
 */
export function assertNewNames(
  databases: readonly DatabaseName[],
  engine: Engine,
  rulesOf: RestoreRules = 'server',
): void {
  const { text } = rules[engine];
  if (databases.length === 0) throw invalidName('no database is named', text);
  const seen = new Set<string>();
  for (const { oldName, newName } of databases) {
    assertName(newName, engine);
    if (rulesOf === 'published' && engine === 'sqlserver' && newName !== oldName) {
      if (!published.isName(newName)) {
        throw invalidName(`“${newName}” cannot be a name`, published.text);
      }
    }
    if (newName.startsWith(reservedPrefix)) {
      const why = `names that begin with ${reservedPrefix} are kept for restores that run`;
      throw invalidName(why, text);
    }
    // Most collations of SQL Server take no notice of case, also in names of databases.
    const known = engine === 'sqlserver' ? newName.toLowerCase() : newName;
    if (seen.has(known)) throw invalidName(`two databases shall be called “${newName}”`, text);
    seen.add(known);
  }
}

/** @throws invalid for a name that no table can have, or that two of a schema shall have */
export function assertTableNames(tables: readonly TableName[], engine: Engine): void {
  const seen = new Set<string>();
  for (const { schema, newName } of tables) {
    assertName(newName, engine);
    const place = JSON.stringify([schema, newName]);
    if (seen.has(place)) {
      throw invalidName(`two tables shall be called “${newName}”`, rules[engine].text);
    }
    seen.add(place);
  }
}

function assertName(name: string, engine: Engine): void {
  const { isName, text } = rules[engine];
  if (!isName(name)) throw invalidName(`“${name}” cannot be a name`, text);
}

function invalidName(message: string, hint: string): CairnError {
  return new CairnError('invalid', message, { reason: 'database-name-invalid', hint });
}
