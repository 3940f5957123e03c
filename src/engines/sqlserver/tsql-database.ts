// What is done to a database besides backups. ALTER, DROP and DBCC have no room for a variable, so
// the names are quoted; they must have come from the server itself.
import { identifierMax, quoteIdentifier, quoteText } from './identifier.ts';
import type { SqlStatement } from './statement.ts';

/** Reads every page and structure; any row or error is damage. */
export function checkDatabaseStatement(database: string): SqlStatement {
  // The name is checked as an identifier, and given as a text.
  quoteIdentifier(database);
  const name = quoteText(database, identifierMax);
  return statement('check-database', `DBCC CHECKDB (${name}) WITH NO_INFOMSGS, ALL_ERRORMSGS`);
}

/** Ends all other connections to it, and undoes their work. Not for one that is restoring. */
export function singleUserStatement(database: string): SqlStatement {
  const name = quoteIdentifier(database);
  return statement(
    'set-single-user',
    `ALTER DATABASE ${name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE`,
  );
}

export function multiUserStatement(database: string): SqlStatement {
  return statement('set-multi-user', `ALTER DATABASE ${quoteIdentifier(database)} SET MULTI_USER`);
}

/** Only while nobody else is connected to it. */
export function renameDatabaseStatement(database: string, newName: string): SqlStatement {
  const [from, to] = [quoteIdentifier(database), quoteIdentifier(newName)];
  return statement('rename-database', `ALTER DATABASE ${from} MODIFY NAME = ${to}`);
}

/** The database and its files. */
export function dropDatabaseStatement(database: string): SqlStatement {
  return statement('drop-database', `DROP DATABASE ${quoteIdentifier(database)}`);
}

function statement(name: string, text: string): SqlStatement {
  return { name, text, parameters: [] };
}
