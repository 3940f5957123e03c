// How a backup is laid out as an archive. It is as the backup tool has copied it: whoever unpacks
// it prepares it first, and a page says how. The restore's own plan decides what belongs where, so
// that an unpacked archive and a restored folder cannot differ, and nobody starts a server on files
// that are not prepared.
import type { ArchiveEntry, ArchiveLayout, SourceListing } from '../engine.ts';
import type { FlavorFacts } from './flavor.ts';
import { flavorOf, flavors } from './flavor.ts';
import { readRestoreNotes } from './restore-notes.ts';
import { defaultDataFilePath, firstDataFile, guardDataFile, planRestore } from './restore-plan.ts';
import { planStartCommands, quote } from './start-commands.ts';

const folder = '/data';
const textMode = 0o600;

/** @throws repository-damaged on a path or note that no backup has */
export function planArchive(source: SourceListing): ArchiveLayout {
  const { settings } = readRestoreNotes(source.notes);
  const dataFilePath = settings['innodb_data_file_path'] ?? defaultDataFilePath;
  const files = source.files();
  const plan = planRestore({
    ...{ targetDir: folder, dataFile: firstDataFile(dataFilePath), files },
    directories: source.directories(),
  });
  const byPath = new Map(files.map((file) => [file.path, file]));
  const entries: ArchiveEntry[] = [
    text('START.txt', explainStart(source, dataFilePath)),
    ...plan.directories.map(({ path, mode }): ArchiveEntry => {
      return { kind: 'directory', path: inArchive(path), mode };
    }),
  ];
  for (const { path, targetPath } of [...plan.logs, ...plan.rest]) {
    const file = byPath.get(path);
    if (file) entries.push({ kind: 'file', path: inArchive(targetPath), source: file });
  }
  return { owner: 'mysql', entries };
}

function explainStart(source: SourceListing, dataFilePath: string): string {
  const flavor: FlavorFacts = flavors[flavorOf(source.serverVersion)];
  const { settings } = readRestoreNotes(source.notes);
  const [tool = ''] = flavor.programs.backup;
  const [program = ''] = flavor.programs.server;
  const { guardName, dataFile, guardedPath } = guardDataFile(dataFilePath);
  const prepare = [
    tool,
    '--prepare',
    '--target-dir=data',
    `--innodb-data-file-path=${guardedPath}`,
  ];
  const commands = [
    prepare.map(quote).join(' '),
    `mv ${quote(`data/${guardName}`)} ${quote(`data/${dataFile}`)}`,
    ...planStartCommands({ dataDir: './data', program, owner: null, settings }),
  ];
  return `The data folder of a ${flavor.title} server, from a backup by Cairn.

It is of version ${source.serverVersion}. Unpack everything as the user that shall own the server
(root cannot run one), and stay in the folder with this page.

Prepare it with the backup program of that release series, and only when that has said
“completed OK!” go on with the rest:

${commands.map((line) => `  ${line}\n`).join('')}
Where the server kept its tables encrypted, data/backup-my.cnf says which plugin it used and where
it read its keys: both are needed to prepare and to start.

The options keep a copy quiet: it has no network, fires no events and follows no other server. Leave
them out when it takes the place of the original.
`;
}

function text(path: string, content: string): ArchiveEntry {
  return { kind: 'text', path, mode: textMode, content };
}

function inArchive(path: string): string {
  return path.slice(1);
}
