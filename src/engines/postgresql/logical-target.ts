// Databases that are being made on a server: under a name that nobody uses until they are whole,
// and known by it to whoever tidies up.

import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorCode } from './connection-error.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import { quoteName, quoteText } from './sql-text.ts';

/** What a database must be made with. */
export type DatabaseFacts = Pick<
  DumpedDatabase,
  'encoding' | 'collate' | 'ctype' | 'locale_provider' | 'locale' | 'icu_rules'
>;

export type WorkDatabase = {
  readonly facts: DatabaseFacts;
  readonly newName: string;
  /** The name it has until it is whole. */
  readonly workName: string;
};

const removeTimeoutMs = 60_000;

/** Also of schemas that tables are restored through. */
export function workName(tag: string, index: number): string {
  return `cairn_restore_${tag}_${index}`;
}

export async function assertNamesFree(
  query: Query,
  wanted: readonly WorkDatabase[],
): Promise<void> {
  const names = wanted.map(({ newName }) => newName);
  const rows = await query('select datname from pg_database where datname = any($1)', [names]);
  const [taken] = rows;
  if (taken) throw nameTaken(String(taken.datname));
}

export async function createDatabase(
  query: Query,
  { facts, workName }: WorkDatabase,
): Promise<void> {
  const { encoding, collate, ctype, locale_provider: provider, locale, icu_rules: rules } = facts;
  const words = [
    `template template0 encoding ${quoteText(encoding)}`,
    `lc_collate ${quoteText(collate)} lc_ctype ${quoteText(ctype)}`,
    ...(provider === 'i' ? [`locale_provider icu icu_locale ${quoteText(locale ?? '')}`] : []),
    ...(provider === 'i' && rules !== null ? [`icu_rules ${quoteText(rules)}`] : []),
    ...(provider === 'b'
      ? [`locale_provider builtin builtin_locale ${quoteText(locale ?? '')}`]
      : []),
  ];
  await query(`create database ${quoteName(workName)} ${words.join(' ')}`);
}

/** With a remark that tells a later attempt of the same job that they are its own. */
export async function renameAll(
  query: Query,
  wanted: readonly WorkDatabase[],
  tag: string,
): Promise<void> {
  const statements = wanted.flatMap(({ workName, newName }) => [
    `alter database ${quoteName(workName)} rename to ${quoteName(newName)}`,
    `comment on database ${quoteName(newName)} is ${quoteText(remarkOf(tag))}`,
  ]);
  try {
    // One message with several statements is one transaction.
    await query(statements.join(';\n'));
  } catch (error) {
    if (errorCode(error) === '42P04') throw nameTaken('of one of the databases', error);
    throw error;
  }
}

/** An attempt that died right after it had given the names. */
export async function isRestored(
  query: Query,
  wanted: readonly WorkDatabase[],
  tag: string,
): Promise<boolean> {
  const names = wanted.map(({ newName }) => newName);
  const rows = await query(
    `select from pg_database where datname = any($1)
       and shobj_description(oid, 'pg_database') = $2`,
    [names, remarkOf(tag)],
  );
  return rows.length === wanted.length;
}

const remarkOf = (tag: string): string => `restored by Cairn (${tag})`;

export async function dropDatabases(query: Query, wanted: readonly WorkDatabase[]): Promise<void> {
  for (const { workName } of wanted) {
    await query(`drop database if exists ${quoteName(workName)} with (force)`);
  }
}

/** Not under the signal: that may be what ended the restore. */
export async function discard(
  connection: Connection,
  wanted: readonly WorkDatabase[],
  log: Logger,
): Promise<void> {
  const signal = AbortSignal.timeout(removeTimeoutMs);
  try {
    await withUnlimited(connection, signal, (query) => dropDatabases(query, wanted));
  } catch (error) {
    const databases = wanted.map(({ workName }) => workName).join(', ');
    log.warn({ err: error, databases }, 'half restored databases were not removed');
  }
}

/** Statements that take as long as the data are large: only the signal ends them. */
export async function withUnlimited<T>(
  connection: Connection,
  signal: AbortSignal,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  return await withQueries(connection, { signal, takenOver: true }, work);
}

export function nameTaken(name: string, cause?: unknown): CairnError {
  return new CairnError('conflict', `the target has a database “${name}” already`, {
    reason: 'database-name-taken',
    hint: 'restore under another name: none is ever overwritten',
    ...(cause === undefined ? {} : { cause }),
  });
}
