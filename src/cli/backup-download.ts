import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { BackupFilesWire } from '../api/schema/download.ts';
import { CairnError } from '../model/errors.ts';
import { formatBytes, formatDuration } from '../model/units.ts';
import { quoteForShell } from '../platform/shell-text.ts';
import { fetchFile } from './fetch-file.ts';
import type { CommonOptions } from './options.ts';
import { openService, withCommon } from './options.ts';
import type { Output } from './output.ts';
import type { Program } from './program.ts';
import type { ServiceClient } from './service-client.ts';

type DownloadOptions = CommonOptions & { readonly to?: string };
type WireFile = BackupFilesWire['files'][number];

type Context = {
  readonly program: Program;
  readonly output: Output;
  readonly say: (text: string) => void;
};
type Fetched = { readonly file: string; readonly size_bytes: number };

export function addBackupDownload(group: Command, program: Program, output: Output): void {
  withCommon(
    group
      .command('download')
      .description('fetch a backup as one .tar.zst, or the exports of its databases'),
  )
    .argument('<id>')
    .option('--to <FILE>', 'a new file, or a folder (default: the name of the backup, here)')
    .action(async (id: string, options: DownloadOptions) => {
      const service = await openService(options, program);
      const files = await findFiles(service, id);
      const targets = [];
      for (const file of files) {
        const path = await chooseTarget(file, options.to ?? '.', { isOneOfMany: files.length > 1 });
        targets.push({ name: file.name, path });
      }
      const fetched: Fetched[] = [];
      const say = (text: string): void =>
        options.json ? output.complain(text) : output.print(text);
      for (const { name, path } of targets) {
        const findLink = async (): Promise<string> => await findLinkOf(service, id, name);
        fetched.push(await fetchOne(path, findLink, { program, output, say }));
      }
      const [first] = fetched;
      if (options.json) return output.json(fetched.length === 1 ? first : { files: fetched });
      if (first?.file.endsWith('.tar.zst')) output.print(explainUnpacking(first.file));
    });
}

async function fetchOne(
  targetPath: string,
  findLink: () => Promise<string>,
  { program, output, say }: Context,
): Promise<Fetched> {
  const beganMs = program.clock.monotonicMs();
  const progress = output.progress();
  try {
    const { sizeBytes } = await fetchFile({
      ...{ targetPath, findLink },
      onProgress: (doneBytes, totalBytes) => {
        const seconds = Math.max(0.001, (program.clock.monotonicMs() - beganMs) / 1000);
        progress.update('fetching', doneBytes, totalBytes, doneBytes / seconds);
      },
      onBusy: (waitMs) => {
        const text = `the service is busy: trying again in ${formatDuration(waitMs)}\n`;
        output.complain(text);
      },
      clock: program.clock,
    });
    progress.stop();
    const span = formatDuration(program.clock.monotonicMs() - beganMs);
    say(`fetched ${formatBytes(sizeBytes)} to ${targetPath} in ${span}\n`);
    return { file: targetPath, size_bytes: sizeBytes };
  } finally {
    progress.stop();
  }
}

async function findFiles(service: ServiceClient, id: string): Promise<readonly WireFile[]> {
  const path = `/backup-files?backup_id=${encodeURIComponent(id)}`;
  return (await service.rds<BackupFilesWire>('GET', path)).files;
}

async function findLinkOf(service: ServiceClient, id: string, name: string): Promise<string> {
  const file = (await findFiles(service, id)).find((one) => one.name === name);
  if (file) return file.download_link;
  throw new CairnError('not-found', `backup ${id} has no file ${name}`);
}

/** @throws invalid when the file is there already */
async function chooseTarget(
  file: WireFile,
  wanted: string,
  { isOneOfMany }: { readonly isOneOfMany: boolean },
): Promise<string> {
  const path = resolve(wanted);
  const found = await findKind(path);
  if (isOneOfMany && found !== 'folder') {
    throw new CairnError('invalid', `${path} is no folder, and the backup is several files`);
  }
  // The service is another machine: its name for the file must not lead out of the folder.
  const target = found === 'folder' ? join(path, basename(file.name)) : path;
  if (found !== null && (found === 'file' || (await findKind(target)) !== null)) {
    throw new CairnError('invalid', `${target} exists already`, {
      hint: 'name another file with --to',
    });
  }
  return target;
}

async function findKind(path: string): Promise<'file' | 'folder' | null> {
  return await stat(path).then(
    (found) => (found.isDirectory() ? 'folder' : 'file'),
    () => null,
  );
}

function explainUnpacking(path: string): string {
  return (
    'unpack it into a folder of its own, as the user that shall own the server:\n' +
    `  mkdir -m 700 restored && zstd -dc ${quoteForShell(path)} | tar -xp -C restored -f -\n` +
    'then restored/START.txt says how to start a server on it\n'
  );
}
