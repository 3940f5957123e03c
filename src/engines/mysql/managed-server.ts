// The server that runs on a data folder. Whether one does is asked of the processes themselves, by
// the arguments that we start servers with and by where they work: a pid file outlives a crash, and
// is written late. A server is a session of its own and outlives us.
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ManagedServer } from '../../model/instance.ts';
import { runCommand } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import { readFileIfPresent } from '../../platform/private-file.ts';
import { removeSocketFolder } from '../../platform/server-folder.ts';
import type { EndSteps } from '../../platform/server-process.ts';
import { endProcess } from '../../platform/server-process.ts';
import { throwIfAborted } from '../guard.ts';
import { flavors } from './flavor.ts';
import { dataDirOption, portOption, targetDirOption } from './server-config.ts';

export type FoundServer = {
  readonly pid: number;
  /** As it was asked for on the command line; null when it was not. */
  readonly port: number | null;
  /** How it is made to end. */
  readonly steps: EndSteps;
};

/** A clean shutdown writes all pages; what it leaves out after that long, recovery does. */
export const stopSteps: EndSteps = [
  ['SIGTERM', 120_000],
  ['SIGKILL', 10_000],
];
/** The backup tool ignores SIGTERM. */
const toolSteps: EndSteps = [
  ['SIGINT', 10_000],
  ['SIGKILL', 10_000],
];
/** Of a server whose data nobody will want. */
export const dropSteps: EndSteps = [
  ['SIGTERM', 10_000],
  ['SIGKILL', 10_000],
];

const serverNames = new Set(Object.values(flavors).flatMap(({ programs }) => programs.server));
const toolNames = new Set(Object.values(flavors).flatMap(({ programs }) => programs.backup));

/**
 * What runs on the folder now, ours or not: a server, or a tool that prepares it and whose Cairn
 * has died. Null when nothing does.
 */
export async function findServer(dataDir: string): Promise<FoundServer | null> {
  const folder = await realpath(dataDir).catch(() => dataDir);
  const found = process.platform === 'linux' ? await findInProc(folder) : await findByPs(folder);
  return found ?? null;
}

export const configPathOf = ({ homeDir }: ManagedServer): string => join(homeDir, 'server.cnf');

/** Harmless when nothing runs on the folder. */
export async function stopManagedServer(
  server: ManagedServer,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  throwIfAborted(signal);
  const found = await findServer(server.dataDir);
  // Whoever waits may stop waiting, but a shutdown that has begun is carried through.
  if (found) await endProcess(found.pid, clock, found.steps);
  const config = await readFileIfPresent(configPathOf(server));
  const socket = /^socket="(.*)"$/m.exec(config ?? '')?.[1];
  if (socket !== undefined) await removeSocketFolder(dirname(socket));
}

async function findInProc(folder: string): Promise<FoundServer | undefined> {
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    // A process that has ended meanwhile has none.
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const args = text.split('\0');
    const program = basename(args[0] ?? '');
    if (toolNames.has(program) && args.includes(`${targetDirOption}${folder}`)) {
      return { pid, port: null, steps: toolSteps };
    }
    if (!serverNames.has(program)) continue;
    if (args.includes(`${dataDirOption}${folder}`) || (await worksIn(pid, folder))) {
      return { pid, port: portOf(args), steps: stopSteps };
    }
  }
  return undefined;
}

/** Where the system has no `/proc`: only what names its folder is found. */
async function findByPs(folder: string): Promise<FoundServer | undefined> {
  const columns = ['-A', '-w', '-w', '-o', 'pid=,command='];
  const { stdout } = await runCommand('ps', columns, { timeoutMs: 10_000 });
  for (const line of stdout.split('\n')) {
    // The arguments are told without their bounds: the folder may hold blanks.
    const [pidText = '', program = '', ...args] = line.trim().split(' ');
    const [pid, name] = [Number(pidText), basename(program)];
    const names = (option: string): boolean => `${line} `.includes(` ${option}${folder} `);
    if (toolNames.has(name) && names(targetDirOption)) return { pid, port: null, steps: toolSteps };
    if (!serverNames.has(name) || !names(dataDirOption)) continue;
    return { pid, port: portOf(args), steps: stopSteps };
  }
  return undefined;
}

/** A server works in its data folder. Others' processes do not say it: then it is none of ours. */
async function worksIn(pid: number, folder: string): Promise<boolean> {
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  return cwd === folder;
}

function portOf(args: readonly string[]): number | null {
  const text = args.find((arg) => arg.startsWith(portOption))?.slice(portOption.length);
  return text === undefined ? null : Number(text);
}
