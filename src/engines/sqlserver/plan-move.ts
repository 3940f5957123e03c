// Where the files of a restored database go: into the target server's own folders, under names made
// of a fixed alphabet. Nothing of a database's or a file's name becomes a path as it is, and the
// folders of the server that was backed up play no part. Pure.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import type { ServerPlatform } from './devices.ts';
import { checkPath } from './devices.ts';
import { checkIdentifier } from './identifier.ts';
import type { MovedFile } from './tsql-restore.ts';

/** A row of RESTORE FILELISTONLY. */
export type BackedUpFile = {
  readonly logicalName: string;
  /** Data, log, full-text catalog, or a folder of FILESTREAM and memory-optimized data. */
  readonly type: 'D' | 'L' | 'F' | 'S';
  readonly fileId: number;
};

export type MoveTarget = {
  /** What the names of all files begin with, as `fileStem` makes it. */
  readonly stem: string;
  readonly platform: ServerPlatform;
  readonly dataDir: string;
  readonly logDir: string;
  /** Of all databases of the server, whatever their case. */
  readonly takenPaths: readonly string[];
};

const primaryFileId = 1;
const stemMax = 40;
const triesMax = 1000;

/**
 * A place for each file, in the order given, that no file of the server has. What lies in the
 * folders besides is refused by the server itself, without REPLACE. @throws invalid
 */
export function planMoves(
  files: readonly BackedUpFile[],
  target: MoveTarget,
): readonly MovedFile[] {
  if (!files.some(({ type }) => type === 'D') || !files.some(({ type }) => type === 'L')) {
    throw new CairnError('invalid', 'the backup lists no data file, or no file of log');
  }
  const taken = new Set(target.takenPaths.map((path) => path.toLowerCase()));
  return files.map((file) => {
    const path = findFree(file, { target, taken });
    taken.add(path.toLowerCase());
    return { logicalName: checkIdentifier(file.logicalName), path };
  });
}

type Search = {
  readonly target: MoveTarget;
  readonly taken: ReadonlySet<string>;
};

function findFree(file: BackedUpFile, { target, taken }: Search): string {
  if (!Number.isSafeInteger(file.fileId) || file.fileId < 1) {
    throw new CairnError('invalid', `the backup lists a file with the number ${file.fileId}`);
  }
  const dir = file.type === 'L' ? target.logDir : target.dataDir;
  for (let attempt = 1; attempt <= triesMax; attempt += 1) {
    const again = attempt === 1 ? '' : `_${attempt}`;
    const name = `${target.stem}_${file.fileId}${again}${extensionOf(file)}`;
    const path = checkPath(join(dir, name, target.platform), target.platform);
    if (!taken.has(path.toLowerCase())) return path;
  }
  throw new CairnError('conflict', `all names for file ${file.fileId} in ${dir} are taken`, {
    hint: 'Remove the files of databases that were restored before.',
  });
}

/** Readable where the name is, and of its own for every name: `crm_prod_9f86d081`. */
export function fileStem(name: string): string {
  const readable = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_+|_+$/g, '')
    .slice(0, stemMax);
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${readable === '' ? 'database' : readable}_${digest}`;
}

function extensionOf({ type, fileId }: BackedUpFile): string {
  if (type === 'L') return '.ldf';
  if (type !== 'D') return '';
  return fileId === primaryFileId ? '.mdf' : '.ndf';
}

function join(dir: string, name: string, platform: ServerPlatform): string {
  const separator = platform === 'windows' ? '\\' : '/';
  return /[\\/]$/.test(dir) ? `${dir}${name}` : `${dir}${separator}${name}`;
}
