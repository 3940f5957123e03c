// Under which names databases are restored: a hidden one until all of them are whole, then the
// wanted one. Pure.
//
// No file of the server is called like one of another restore: by the names of its files a database
// is known to be the one that this restore has put in its place.
import { CairnError } from '../../model/errors.ts';
import type { DatabaseName } from '../engine.ts';
import { checkIdentifier, identifierMax } from './identifier.ts';
import { fileStem } from './plan-move.ts';
import { isSystemDatabase } from './server-databases.ts';
import type { StoredDatabase } from './stored-notes.ts';

export type WantedDatabase = DatabaseName & {
  readonly index: number;
  readonly stored: StoredDatabase;
  /** While it is not whole. */
  readonly workName: string;
  /** What has the wanted name already, once it has made room. */
  readonly replacedName: string;
  /** Of its files, in the folders of the server. */
  readonly stem: string;
};

/** Of databases that are not whole yet. */
const workPrefix = 'cairn_restore_';

/** A restore is making it, by whatever job of whatever Cairn. */
export function isBeingRestored(database: string): boolean {
  return database.toLowerCase().startsWith(workPrefix);
}

const shortTagLength = 8;
const tagPattern = /^[0-9A-Za-z-]{1,64}$/;

/**
 * All databases of the backup where none is named. @throws invalid (database-unknown,
 * database-name-invalid)
 */
export function planNames(
  stored: readonly StoredDatabase[],
  { databases, tag }: { readonly databases: readonly DatabaseName[]; readonly tag: string },
): readonly WantedDatabase[] {
  if (!tagPattern.test(tag)) throw new CairnError('bug', `${tag} cannot be part of a name`);
  const names =
    databases.length > 0
      ? databases
      : stored.map(({ name }): DatabaseName => ({ oldName: name, newName: name }));
  if (names.length === 0) {
    throw new CairnError('invalid', 'the backup holds no database', {
      hint: 'none was online when it was taken',
    });
  }
  checkNewNames(names.map(({ newName }) => newName));
  return names.map(({ oldName, newName }, index) => {
    const found = findStored(stored, oldName);
    return {
      ...{ index, stored: found, oldName: found.name, newName },
      workName: `${workPrefix}${tag}_${index}`,
      replacedName: withSuffix(newName, `_replaced_${tag.slice(0, shortTagLength)}`),
      stem: fileStem(`${newName}_${tag}`),
    };
  });
}

/** Of the server whose collation that is: does it tell the two apart? */
export function isSameName(a: string, b: string, collation: string): boolean {
  if (a === b) return true;
  return !/_(?:CS|BIN2?)(?:_|$)/.test(collation) && a.toLowerCase() === b.toLowerCase();
}

/** In the exchange all of a restore begins so. */
export function exchangePrefix(tag: string): string {
  return `cairn-restore-${tag.toLowerCase()}-`;
}

function findStored(stored: readonly StoredDatabase[], name: string): StoredDatabase {
  const folded = stored.filter((one) => one.name.toLowerCase() === name.toLowerCase());
  const found = stored.find((one) => one.name === name) ?? (folded.length === 1 ? folded[0] : null);
  if (found) return found;
  throw new CairnError('invalid', `the backup holds no database “${name}”`, {
    reason: 'database-unknown',
    hint: `it holds ${stored.map((one) => one.name).join(', ')}`,
  });
}

function checkNewNames(names: readonly string[]): void {
  for (const name of names) {
    if (isSystemDatabase(name) || isBeingRestored(name)) {
      throw new CairnError('invalid', `no database can be restored as “${name}”`, {
        reason: 'database-name-invalid',
        hint: 'choose another name',
      });
    }
    // The server takes it for the name without them wherever it compares the two.
    if (name.endsWith(' ')) {
      throw new CairnError('invalid', `the name “${name}” ends in a blank`, {
        reason: 'database-name-invalid',
        hint: 'choose another name',
      });
    }
    checkIdentifier(name);
  }
  // Also where the server would tell upper and lower case apart: people do not.
  const twice = names.find((name, index) => {
    return names.slice(0, index).some((other) => other.toLowerCase() === name.toLowerCase());
  });
  if (twice === undefined) return;
  throw new CairnError('invalid', `two databases would be restored as “${twice}”`, {
    reason: 'database-name-invalid',
    hint: 'give each a name of its own',
  });
}

function withSuffix(name: string, suffix: string): string {
  const cut = name.slice(0, identifierMax - suffix.length);
  return `${cut.isWellFormed() ? cut : cut.slice(0, -1)}${suffix}`;
}
