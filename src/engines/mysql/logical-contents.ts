// What a logical backup holds, written beside the dumps as `contents.json` and checked against them
// when they are restored. A database lies below a folder of its own:
//
//   databases/NAME/head · tables/TABLE · programs · views · tail
//
// which one after another are SQL that loads into an empty database of any name.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { CairnError } from '../../model/errors.ts';
import type { SourceFile, SourceListing } from '../engine.ts';
import type { LogicalFile, LogicalSource } from '../logical.ts';
import type { DumpPart, DumpSegment } from './logical-dump.ts';
import { dumpParts } from './logical-dump.ts';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const Database = Type.Object({
  name: Type.String(),
  /** Its files lie below it. */
  folder: Type.String(),
  character_set: Type.String(),
  collation: Type.String(),
  /** Accounts in whose name its views, routines, triggers and events run, as SQL writes them. */
  definers: Type.Array(Type.String()),
  /** Of its largest statement: what the target's `max_allowed_packet` must have room for. */
  statement_bytes_max: Count,
  /** In the order of the dump. */
  tables: Type.Array(Type.Object({ name: Type.String(), rows: Count })),
  /** Tables whose engine has no transactions: their rows may be of another moment. */
  tables_without_snapshot: Type.Array(Type.String()),
  /** Views that speak of what was not there: they are not in the dump. */
  broken_views: Type.Array(Type.Object({ name: Type.String(), create: Type.String() })),
});
const Account = Type.Object({
  /** As SQL writes it: `user`@`host`, or `role`. */
  name: Type.String(),
  is_role: Type.Boolean(),
  /** Empty for the role of everybody, which is always there. */
  create: Type.String(),
  grants: Type.Array(Type.String()),
});
const Contents = Type.Object({
  format: Type.Literal(1),
  server_version: Type.String(),
  /** False: the login may not read the accounts, and none are here. */
  has_accounts: Type.Boolean(),
  accounts: Type.Array(Account),
  /** Every file of a dump with what it held when it was made. */
  files: Type.Array(Type.Object({ path: Type.String(), bytes: Count, sha256: Type.String() })),
  databases: Type.Array(Database),
});
export type DumpContents = Static<typeof Contents>;
export type DumpedDatabase = Static<typeof Database>;
export type DumpedAccount = Static<typeof Account>;
export type DumpedFile = DumpContents['files'][number];

export const contentsPath = 'contents.json';
export const accountsPath = 'users.sql';
export const logicalKind = 'logical';
const databasesFolder = 'databases';

export function formatContents(contents: DumpContents): Buffer {
  return Buffer.from(`${JSON.stringify(contents, null, 1)}\n`);
}

/** @throws repository-damaged */
export function parseContents(bytes: Uint8Array): DumpContents {
  const value = parseJson(Buffer.from(bytes).toString('utf8'));
  if (Value.Check(Contents, value)) return value;
  throw new CairnError('repository-damaged', 'the contents of the logical backup make no sense');
}

/** @throws repository-damaged */
export async function readContents(
  source: LogicalSource,
  signal: AbortSignal,
): Promise<DumpContents> {
  const parts: Uint8Array[] = [];
  const files = source.files().filter(({ path }) => path === contentsPath);
  for await (const bytes of source.stream(files, signal)) parts.push(Uint8Array.from(bytes));
  return parseContents(Buffer.concat(parts));
}

export function databaseFolder(database: string): string {
  return `${databasesFolder}/${escapeName(database)}`;
}

export function pathOf({ database, part, table }: Omit<DumpSegment, 'bytes'>): string {
  const folder = `${databaseFolder(database)}/${part}`;
  return table === null ? folder : `${folder}/${escapeName(table)}`;
}

/** The files of these parts of a database, in the order in which they load. */
export function filesOf<F extends { readonly path: string }>(
  files: readonly F[],
  folder: string,
  parts: readonly DumpPart[] = dumpParts,
): readonly F[] {
  return parts.flatMap((part) => {
    const path = `${folder}/${part}`;
    return files.filter((one) => one.path === path || one.path.startsWith(`${path}/`));
  });
}

/** Null: the backup is not a logical one. */
export function planLogicalFiles(source: SourceListing): readonly LogicalFile[] | null {
  if (source.notes['kind'] !== logicalKind) return null;
  const files = source.files();
  const groups = Map.groupBy(files, ({ path }) => path.split('/').slice(0, 2).join('/'));
  return [...groups].map(([folder, own]) => {
    const [first = '', name] = folder.split('/');
    if (name === undefined) return toFile(null, first, own);
    const database = decodeURIComponent(name);
    return toFile(database, `${database}.sql`, filesOf(own, folder));
  });
}

function toFile(
  databaseName: string | null,
  fileName: string,
  parts: readonly SourceFile[],
): LogicalFile {
  const sizeBytes = parts.reduce((total, part) => total + part.sizeBytes, 0);
  return { databaseName, fileName, sizeBytes, parts };
}

/** Any name as one part of a path: nothing but letters, digits, `_`, `-` and escapes. */
function escapeName(name: string): string {
  return encodeURIComponent(name).replace(
    /[!'()*.~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CairnError('repository-damaged', 'the contents of the logical backup are not JSON', {
      cause,
    });
  }
}
