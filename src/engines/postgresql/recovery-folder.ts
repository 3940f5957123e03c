// Recovery in a folder that somebody starts a server on by hand. The settings go to the end of
// `postgresql.auto.conf`, the last file that the server reads; `recovery.signal` makes it look at
// them once. Its `restore_command` first takes what lies ready, and else calls a program that reads
// the archive, several files ahead.
import { appendFile, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import { runBounded } from '../../platform/bounded.ts';
import { quoteForShell } from '../../platform/shell-text.ts';
import type { EngineNotes, FolderRecovery, LogFetch } from '../engine.ts';
import { logAbsentCode } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import type { PlannedSegment, RecoveryFiles } from './recovery-files.ts';
import { planFiles, readSegment } from './recovery-files.ts';
import { recoverySettings } from './recovery-settings.ts';
import { formatSettings } from './server-config.ts';
import { formatRestoreCommand } from './wal-script.ts';

const aheadBytesMax = 256 * MiB;
const aheadFilesMax = 16;
const readingMax = 4;
const spoolName = 'spool';
const scriptName = 'wal-get.sh';

/** Answers the plan that each fetch needs. @throws log-gap, storage errors */
export async function prepareFolderRecovery(
  dataDir: string,
  recovery: FolderRecovery,
  notes: PostgresNotes,
  signal: AbortSignal,
): Promise<RecoveryFiles> {
  const { supportDir, fetchCommand, target } = recovery;
  const files = await planFiles(recovery, notes, signal);
  await mkdir(join(supportDir, spoolName), { recursive: true, mode: 0o700 });
  const scriptPath = join(supportDir, scriptName);
  await writeFile(scriptPath, formatScript(join(supportDir, spoolName), fetchCommand), {
    mode: 0o600,
  });
  await rm(join(dataDir, 'standby.signal'), { force: true });
  const restoreCommand = formatRestoreCommand(scriptPath);
  const settings = recoverySettings({ target, timeline: files.timeline, restoreCommand });
  const text = `# Written by Cairn for one recovery; of no effect without recovery.signal.\n`;
  await appendFile(join(dataDir, 'postgresql.auto.conf'), `${text}${formatSettings(settings)}`);
  await writeFile(join(dataDir, 'recovery.signal'), '', { mode: 0o600 });
  return files;
}

function formatScript(spoolDir: string, fetchCommand: string): string {
  return `#!/bin/sh
# Written by Cairn: hands a file of log to the server that recovers.
# 0: it is there. 1: there is no such file. 200: nobody can tell, and recovery must end.
mv -f ${quoteForShell(spoolDir)}/"$1" "$2" 2>/dev/null && exit 0
${fetchCommand} "$1" "$2"
case $? in 0) exit 0 ;; ${logAbsentCode}) exit 1 ;; *) exit 200 ;; esac
`;
}

/** @throws log-gap, storage errors, repository-damaged */
export async function fetchLog(fetch: LogFetch): Promise<'found' | 'absent'> {
  const { name, targetPath, log, spoolDir, signal } = fetch;
  const files = parseFiles(fetch.plan);
  const { segments, segmentBytes, histories } = files;
  const history = histories[name];
  if (history !== undefined) {
    await writeWhole(targetPath, Buffer.from(history, 'utf8'));
    return 'found';
  }
  const at = segments.findIndex((segment) => segment.name === name);
  const wanted = segments[at];
  if (!wanted) return 'absent';
  const ahead = Math.max(1, Math.min(aheadFilesMax, Math.floor(aheadBytesMax / segmentBytes)));
  const deliver = async (segment: PlannedSegment, path: string): Promise<void> =>
    await writeWhole(path, await readSegment(log, segment, segmentBytes, signal));
  await deliver(wanted, targetPath);
  await mkdir(spoolDir, { recursive: true });
  const next = segments.slice(at + 1, at + ahead);
  await runBounded(next, readingMax, (segment) => deliver(segment, join(spoolDir, segment.name)));
  return 'found';
}

/** Under another name until it is whole. */
async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.cairn`);
  await using file = await open(draft, 'w', 0o600);
  await file.writeFile(bytes);
  await rename(draft, path);
}

/** It was a `RecoveryFiles` before it went through JSON. @throws invalid */
function parseFiles(plan: EngineNotes): RecoveryFiles {
  const { segments, histories, segmentBytes, timeline } = plan;
  const isWhole =
    Array.isArray(segments) &&
    typeof histories === 'object' &&
    histories !== null &&
    typeof segmentBytes === 'number' &&
    typeof timeline === 'number';
  if (!isWhole) throw new CairnError('invalid', 'the plan of the recovery cannot be read');
  return {
    ...{ segmentBytes, timeline },
    segments: segments.map(({ name, usedBytes }: PlannedSegment) => ({ name, usedBytes })),
    histories: histories as Readonly<Record<string, string>>,
  };
}
