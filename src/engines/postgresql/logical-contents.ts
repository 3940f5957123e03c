// What a logical backup holds, written beside the dumps as `contents.json` and checked against them
// when they are restored.

import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { CairnError } from '../../model/errors.ts';
import type { SourceFile, SourceListing } from '../engine.ts';
import type { LogicalFile, LogicalSource } from '../logical.ts';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const TextOrNull = Type.Union([Type.String(), Type.Null()]);

const Database = Type.Object({
  name: Type.String(),
  /** The files of its dump lie below it. */
  folder: Type.String(),
  dump_bytes: Count,
  dump_sha256: Type.String(),
  encoding: Type.String(),
  collate: Type.String(),
  ctype: Type.String(),
  /** `c` for the C library, `i` for ICU, `b` for built in. */
  locale_provider: Type.String(),
  locale: TextOrNull,
  icu_rules: TextOrNull,
  /** Roles that own something in it. */
  owners: Type.Array(Type.String()),
  large_objects: Count,
  /** In the order of the dump. */
  tables: Type.Array(Type.Object({ schema: Type.String(), name: Type.String(), rows: Count })),
});
const Contents = Type.Object({
  format: Type.Literal(1),
  /** Of pg_dump. */
  tool_version: Type.String(),
  /** Whether the globals hold the passwords of the roles. */
  role_passwords: Type.Boolean(),
  databases: Type.Array(Database),
});
export type DumpContents = Static<typeof Contents>;
export type DumpedDatabase = Static<typeof Database>;

export const contentsPath = 'contents.json';
export const globalsFolder = 'globals.sql';
export const logicalKind = 'logical';
const databasesFolder = 'databases';

export function formatContents(contents: DumpContents): Buffer {
  return Buffer.from(`${JSON.stringify(contents, null, 1)}\n`);
}

/** @throws repository-damaged */
export async function readContents(
  source: LogicalSource,
  signal: AbortSignal,
): Promise<DumpContents> {
  const text = await readText(source, contentsPath, signal);
  const value = parseJson(text);
  if (Value.Check(Contents, value)) return value;
  throw new CairnError('repository-damaged', 'the contents of the logical backup make no sense');
}

/** One of the small files. @throws repository-damaged */
export async function readText(
  source: LogicalSource,
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const bytes of source.stream(filesBelow(source, folder), signal)) {
    parts.push(Uint8Array.from(bytes));
  }
  return Buffer.concat(parts).toString('utf8');
}

/** In the order in which they were written, which is that of their bytes. */
export function filesBelow(source: SourceListing, folder: string): readonly SourceFile[] {
  return source.files().filter(({ path }) => path === folder || path.startsWith(`${folder}/`));
}

/** Any name as one part of a path: nothing but letters, digits, `_`, `-` and escapes. */
export function escapeName(name: string): string {
  return [...Buffer.from(name)]
    .map((byte) => String.fromCharCode(byte))
    .map((char) => (/[A-Za-z0-9_-]/.test(char) ? char : `%${hexOf(char)}`))
    .join('');
}

export function databaseFolder(database: string): string {
  return `${databasesFolder}/${escapeName(database)}`;
}

/** Null: the backup is not a logical one. */
export function planLogicalFiles(source: SourceListing): readonly LogicalFile[] | null {
  if (source.notes['kind'] !== logicalKind) return null;
  const groups = new Map<string, SourceFile[]>();
  for (const file of source.files()) {
    const [first = '', second = ''] = file.path.split('/');
    const folder = first === databasesFolder ? `${first}/${second}` : first;
    const group = groups.get(folder);
    if (group) group.push(file);
    else groups.set(folder, [file]);
  }
  return [...groups].map(([folder, parts]) => {
    const [first, second] = folder.split('/');
    const sizeBytes = parts.reduce((total, part) => total + part.sizeBytes, 0);
    if (second === undefined) {
      return { databaseName: null, fileName: first ?? '', sizeBytes, parts };
    }
    const databaseName = decodeURIComponent(second);
    return { databaseName, fileName: `${databaseName}.dump`, sizeBytes, parts };
  });
}

function hexOf(char: string): string {
  return char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0');
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
