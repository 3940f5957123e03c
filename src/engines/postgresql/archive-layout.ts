// How a backup is laid out as an archive. The restore's own plan decides what belongs where, so an
// unpacked archive and a restored folder cannot differ: here its absolute folders become the tops
// of the archive, and the links between them relative.
//
// Left out: `tablespace_map`, from which a starting server would make links to where the
// tablespaces were on the old machine (without it the links of the archive count, as in a plain
// `pg_basebackup`), and what would make the server follow another. Added: the configuration that
// lay outside the data folder, and a page that says how to start.
import { dirname, relative } from 'node:path';
import { assert } from '../../model/assert.ts';
import type { ArchiveEntry, ArchiveLayout, SourceFile, SourceListing } from '../engine.ts';
import { parseNotes } from './backup-notes.ts';
import type { RestorePlan } from './restore-plan.ts';
import { planRestore } from './restore-plan.ts';
import { majorOf } from './server-binaries.ts';
import { formatConfig, identText } from './server-config.ts';
import { localHba, planStartCommands } from './start-commands.ts';

const dataDir = '/data';
const tablespaceParentDir = '/tablespaces';
const leftOut: readonly string[] = [
  ...['tablespace_map', 'standby.signal', 'recovery.signal'],
  ...['postmaster.pid', 'postmaster.opts'],
];
/** Last: a server does not start on an archive that was unpacked in part. */
const guardFile = 'global/pg_control';
const folderMode = 0o700;
const textMode = 0o600;

/** @throws repository-damaged on a path or note that no backup has */
export function planArchive(source: SourceListing): ArchiveLayout {
  const files = source.files();
  const plan = planRestore({
    ...{ targetDir: dataDir, tablespaceDirs: {}, tablespaceParentDir },
    ...{ tablespaces: parseNotes(source.notes).tablespaces, directories: source.directories() },
    files,
  });
  const entries = [
    text('START.txt', explainStart(plan, source)),
    ...directoriesOf(plan),
    ...plan.links.map(({ path, target }): ArchiveEntry => {
      return { kind: 'symlink', path: inArchive(path), target: relative(dirname(path), target) };
    }),
    ...missingConfig(source, files),
  ];
  const guards: ArchiveEntry[] = [];
  // One pass and no table of a million paths: this runs while others wait for answers.
  for (const [index, file] of files.entries()) {
    const extraction = plan.extractions[index];
    assert(extraction?.path === file.path, 'the plan has the files in another order');
    if (leftOut.includes(file.path)) continue;
    const path = inArchive(extraction.targetPath);
    (file.path === guardFile ? guards : entries).push({ kind: 'file', path, source: file });
  }
  return { owner: 'postgres', entries: entries.concat(guards) };
}

function directoriesOf(plan: RestorePlan): ArchiveEntry[] {
  const parents = plan.tablespaces.length > 0 ? [tablespaceParentDir] : [];
  return [...parents.map((path) => ({ path, mode: folderMode })), ...plan.directories].map(
    ({ path, mode }): ArchiveEntry => ({ kind: 'directory', path: inArchive(path), mode }),
  );
}

/** As Debian has it: the files lay in /etc, and no server starts without them. */
function missingConfig(source: SourceListing, files: readonly SourceFile[]): ArchiveEntry[] {
  const texts = {
    'postgresql.conf': formatConfig(parseNotes(source.notes)),
    'pg_hba.conf': localHba,
    'pg_ident.conf': identText,
  };
  return Object.entries(texts)
    .filter(([name]) => !files.some(({ path }) => path === name))
    .map(([name, content]) => text(`${inArchive(dataDir)}/${name}`, content));
}

function explainStart(plan: RestorePlan, source: SourceListing): string {
  const { serverVersion } = source;
  const commands = planStartCommands({
    ...{ dataDir: inArchive(dataDir), otherDirs: [], major: majorOf(serverVersion) },
    ...{ binDir: null, owner: null, hasOwnConfig: true, hasOwnHba: true, signalFiles: [] },
    notes: parseNotes(source.notes),
  });
  // A server with relative links runs, but a backup of it takes them for folders of its own.
  const settle =
    plan.tablespaces.length === 0
      ? ''
      : 'Then make the links to the tablespaces absolute, as PostgreSQL makes them itself:\n\n' +
        '  for link in data/pg_tblspc/*; do ln -sfn "$(realpath "$link")" "$link"; done\n\n';
  return `The data folder of a PostgreSQL ${serverVersion} server, from a backup by Cairn.

Unpack everything as the user that shall own the server (root cannot run one), and stay in the
folder with this page.

${settle}Start it with the binaries of that version:

${commands.map((line) => `  ${line}\n`).join('')}
The -o options keep a copy from archiving and replicating; leave them out when it takes the place
of the original. Add -p PORT to them while the original runs on the same machine.
`;
}

function text(path: string, content: string): ArchiveEntry {
  return { kind: 'text', path, mode: textMode, content };
}

function inArchive(path: string): string {
  return path.slice(1);
}
