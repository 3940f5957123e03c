// The files of a backup as people get them: `.bak` files that any SQL Server of the version or a
// newer one restores, and the statements to type.
import { CairnError } from '../../model/errors.ts';
import type { ArchiveEntry, ArchiveLayout, LogicalFile, SourceListing } from '../engine.ts';
import { identifierMax, quoteIdentifier, quoteText } from './identifier.ts';
import { readNotes } from './read-notes.ts';
import type { StoredDatabase } from './stored-notes.ts';

/** A full backup alone, or one that a differential follows. */
type SetKind = 'full' | 'base' | 'differential';

/**
 * Each file that the server has written, a database after the other, in the order in which they are
 * restored. @throws repository-damaged
 */
export function planLogicalFiles(source: SourceListing): readonly LogicalFile[] {
  const stored = new Map(source.files().map((file) => [file.path, file]));
  return readNotes(source.notes).databases.flatMap((database) =>
    setsOf(database).flatMap(({ kind, paths }) =>
      paths.map((path, index) => {
        const file = stored.get(path);
        if (file === undefined) throw damaged(path);
        const fileName = `${database.name}.${kind}.${index + 1}of${paths.length}.bak`;
        const { sizeBytes } = file;
        return { databaseName: database.name, fileName, sizeBytes, parts: [file] };
      }),
    ),
  );
}

function setsOf({
  full,
  differential,
}: StoredDatabase): readonly { readonly kind: SetKind; readonly paths: readonly string[] }[] {
  if (differential === null) return [{ kind: 'full', paths: full.paths }];
  return [
    { kind: 'base', paths: full.paths },
    { kind: 'differential', paths: differential.paths },
  ];
}

function damaged(path: string): CairnError {
  return new CairnError('repository-damaged', `${path} is not in the backup`, {
    hint: 'check the repository',
  });
}

const filePattern = /\.(full|base|differential)\.1of(\d+)\.bak$/;
const pathMax = 259;

/**
 * To be typed one after another, with paths as the server sees them; the files of one backup lie
 * beside each other. Nothing for a file that the statement of the first one names.
 */
export function planImportCommands(file: LogicalFile, path: string): readonly string[] {
  const { databaseName } = file;
  const [, kind = '', count = ''] = filePattern.exec(file.fileName) ?? [];
  if (databaseName === null || kind === '') return [];
  const paths = Array.from({ length: Number(count) }, (_, index) =>
    path.replace(/\.1of(?=\d+(?:-\d+)?\.bak$)/, `.${index + 1}of`),
  );
  return commandsOf(databaseName, kind as SetKind, paths);
}

function commandsOf(database: string, kind: SetKind, paths: readonly string[]): readonly string[] {
  const name = quoteIdentifier(database);
  const move = kind === 'differential' ? '' : "MOVE N'…' TO N'…', ";
  const options = `${move}NORECOVERY, CHECKSUM, STATS = 5`;
  return [
    ...(kind === 'differential' ? [] : listCommands(paths)),
    `RESTORE DATABASE ${name} FROM ${renderPaths(paths)} WITH ${options};`,
    ...(kind === 'base' ? [] : endCommands(database)),
  ];
}

function listCommands(paths: readonly string[]): readonly string[] {
  return [
    `RESTORE FILELISTONLY FROM ${renderPaths(paths.slice(0, 1))};`,
    '-- a MOVE for each file that it lists, to where this server shall keep it:',
  ];
}

function endCommands(database: string): readonly string[] {
  return [
    '-- here backups of the log, if there are any: RESTORE LOG … WITH NORECOVERY, CHECKSUM;',
    `RESTORE DATABASE ${quoteIdentifier(database)} WITH RECOVERY;`,
    `DBCC CHECKDB (${quoteText(database, identifierMax)}) WITH NO_INFOMSGS, ALL_ERRORMSGS;`,
  ];
}

function renderPaths(paths: readonly string[]): string {
  return paths.map((path) => `DISK = ${quoteText(path, pathMax)}`).join(', ');
}

const textMode = 0o600;

/** The same files in one archive, in folders that no name of a database gets into. */
export function planArchive(source: SourceListing): ArchiveLayout {
  const { databases } = readNotes(source.notes);
  const entries: ArchiveEntry[] = [
    { kind: 'text', path: 'RESTORE.txt', mode: textMode, content: explainRestore(databases) },
    ...source.directories().map(({ path, mode }): ArchiveEntry => {
      return { kind: 'directory', path, mode };
    }),
    ...source.files().map((file): ArchiveEntry => {
      return { kind: 'file', path: file.path, source: file };
    }),
  ];
  return { owner: 'mssql', entries };
}

function explainRestore(databases: readonly StoredDatabase[]): string {
  const blocks = databases.map((database) =>
    setsOf(database)
      .flatMap(({ kind, paths }) => commandsOf(database.name, kind, paths))
      .join('\n'),
  );
  return `Databases of a SQL Server, from a backup by Cairn.

Unpack them where the server may read them, and type these statements with the paths as the server
sees them. The version must be that of the backup or a newer one.

${blocks.join('\n\n')}
`;
}
