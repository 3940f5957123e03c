// Makes restored files into data that a server starts on: the backup tool replays what was logged
// while it copied (MariaDB documentation, "Full Backup and Restore with mariadb-backup"). It must
// be of the release series that took the backup. Its exit code is not proof enough: its last words
// are looked at, too. As root it runs as the server's user, who owns the files.
import { spawn } from 'node:child_process';
import {
  access,
  constants,
  open,
  readFile,
  realpath,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';
import type { Identity } from '../../platform/child-process.ts';
import { spawnBase } from '../../platform/child-process.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import { readTextTail } from '../../platform/text-tail.ts';
import { throwIfAborted } from '../guard.ts';
import { backupConfigName, defaultDataFilePath, guardDataFile } from './restore-plan.ts';
import type { Settings } from './server-config.ts';
import { targetDirOption } from './server-config.ts';
import { explainServerLog } from './server-log.ts';

export type PrepareOptions = {
  /** The program, absolute. */
  readonly tool: string;
  readonly dataDir: string;
  readonly backupConfig: Settings;
  readonly logPath: string;
  readonly identity: Identity | null;
  readonly extraConfigFile: string | null;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

/** Replay of a busy day's log may take hours; one that hangs must not hang for good. */
const timeoutMs = 12 * 3600_000;
const killAfterMs = 10_000;
const successText = 'completed OK!';

/** May be done again after it was cut short. @throws engine-refused with its log, cancelled */
export async function prepareBackup(options: PrepareOptions): Promise<void> {
  const { dataDir, backupConfig, log, logPath, tool, signal } = options;
  const dataFilePath = backupConfig['innodb_data_file_path'] ?? defaultDataFilePath;
  const { dataFile, guardName, guardedPath } = guardDataFile(dataFilePath);
  const args = [
    '--prepare',
    `--use-memory=${planMemory(totalmem())}`,
    // As `findServer` looks for it, when this process has died meanwhile.
    `${targetDirOption}${await realpath(dataDir)}`,
    `--innodb-data-file-path=${guardedPath}`,
  ];
  log.info({ tool, dataDir }, 'preparing the restored files');
  const exitCode = await withExtraConfig(options, () => runTool(args, options));
  throwIfAborted(signal);
  const lastLine = (await readTextTail(logPath)).trimEnd().split('\n').at(-1) ?? '';
  if (exitCode !== 0 || !lastLine.endsWith(successText)) throw await failure(options, exitCode);
  await rename(join(dataDir, guardName), join(dataDir, dataFile));
  await syncFolder(dataDir);
}

/**
 * Looked at before hours of restoring: whether the file with the keys can be read here.
 * @throws engine-refused naming plugin and file
 */
export async function assertKeysAtHand(
  backupConfig: Settings,
  extraConfigFile: string | null,
): Promise<void> {
  const plugin = encryptionPlugin(backupConfig);
  if (plugin === null || extraConfigFile !== null) return;
  const keyFile = backupConfig[`${plugin}_filename`];
  if (keyFile === undefined) return;
  await access(keyFile, constants.R_OK).catch((cause: unknown) => {
    throw new CairnError(
      'engine-refused',
      `the backup is encrypted: plugin ${plugin} read its keys from ${keyFile} on the old ` +
        'server, and there is no such file here',
      { hint: keyHint(plugin), cause },
    );
  });
}

/** `file_key_management` of `file_key_management=file_key_management`; null: not encrypted. */
function encryptionPlugin(backupConfig: Settings): string | null {
  const loaded = backupConfig['plugin_load'];
  return loaded === undefined ? null : (/^\w+/.exec(loaded)?.[0] ?? null);
}

function keyHint(plugin: string): string {
  return (
    `put the keys there, readable for the server's user; or name their place in an option file, ` +
    `as ${plugin}_filename=… under [mysqld], and that file in CAIRN_MYSQL_CONFIG_FILE`
  );
}

async function failure(options: PrepareOptions, exitCode: number): Promise<CairnError> {
  const { reason, hint } = await explainServerLog(options.logPath);
  const plugin = encryptionPlugin(options.backupConfig);
  const what =
    plugin === null
      ? 'the backup was not'
      : `the backup is encrypted by plugin ${plugin}, and was not`;
  return new CairnError('engine-refused', `${what} prepared (exit code ${exitCode}): ${reason}`, {
    hint: plugin === null ? hint : `${keyHint(plugin)}; the whole log is ${options.logPath}`,
  });
}

/** The tool takes keys from the backup's own option file only; what comes last there, wins. */
async function withExtraConfig<T>(
  { dataDir, extraConfigFile }: PrepareOptions,
  work: () => Promise<T>,
): Promise<T> {
  if (extraConfigFile === null) return await work();
  const path = join(dataDir, backupConfigName);
  const text = await readFile(path);
  await writeFile(path, `${text}\n!include ${extraConfigFile}\n`);
  try {
    return await work();
  } finally {
    await writeFile(path, text);
  }
}

/** Answers the exit code. */
/** Temporary files of its own: it might remove those of servers in a folder that they share. */
function toolEnvironment(logPath: string): Readonly<Record<string, string>> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8', TMPDIR: dirname(logPath) };
}

async function runTool(args: readonly string[], options: PrepareOptions): Promise<number> {
  const { tool, identity, logPath } = options;
  await rm(logPath, { force: true });
  await using log = await open(logPath, 'wx', 0o600);
  const child = spawn(tool, args, {
    ...spawnBase({ identity, cwd: options.dataDir, env: toolEnvironment(logPath) }),
    stdio: ['ignore', log.fd, log.fd],
  });
  const deadline = deadlineSignal(timeoutMs, options.signal);
  // It ends on SIGINT, and ignores SIGTERM.
  const interrupt = (): void => {
    child.kill('SIGINT');
    setTimeout(() => child.kill('SIGKILL'), killAfterMs).unref();
  };
  return await new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => {
      const text = `cannot run ${tool}: ${cause.message}`;
      reject(new CairnError('engine-refused', text, { cause }));
    });
    child.on('exit', (code) => {
      deadline.removeEventListener('abort', interrupt);
      resolve(code ?? 255);
    });
    if (deadline.aborted) interrupt();
    else deadline.addEventListener('abort', interrupt, { once: true });
  });
}

/** An eighth of the machine's, within bounds. */
function planMemory(memoryBytes: number): number {
  return Math.min(1024 * MiB, Math.max(96 * MiB, Math.floor(memoryBytes / 8)));
}
