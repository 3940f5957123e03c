// Recovers a restored data folder: starts the server where nobody reaches it, feeds it the planned
// log, waits until it has left recovery and stops it again. What is left is a folder as any other.
//
// A server that was given a moment, or a position, and finds nothing behind it in the log, ends
// without taking queries. The plan says that the log covers the target, so there is nothing behind
// it: the server has been through all of the planned log and has found no transaction later than
// the moment (no record at or behind the position). Then the same log, to its end, is exactly what
// was asked for, and is replayed once more without a target.
import { readFile, stat, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { ManagedServer } from '../../model/instance.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import type { Logger } from '../../platform/logger.ts';
import { giveFile, prepareSocketFolder, removeSocketFolder } from '../../platform/server-folder.ts';
import type { RunningServer } from '../../platform/server-process.ts';
import { readTextTail } from '../../platform/text-tail.ts';
import type { Recovery, RecoveryReport } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { historyFileName } from './log-position.ts';
import { parseHistory } from './log-timelines.ts';
import { launchServer, stopProcess } from './managed-server.ts';
import { readStatus } from './postmaster-file.ts';
import type { RecoveryFiles } from './recovery-files.ts';
import { planFiles } from './recovery-files.ts';
import { recoverySettings, replaySettings } from './recovery-settings.ts';
import { majorOf } from './server-binaries.ts';
import { planServerArguments } from './server-config.ts';
import type { ServerFacts } from './server-facts.ts';
import { socketNameOf } from './server-home.ts';
import { explainStartFailure } from './server-log.ts';
import type { ManagedStartParts } from './start-managed.ts';
import { WalFeeder } from './wal-feeder.ts';

export type ReplayOptions = {
  readonly managed: ManagedServer;
  readonly facts: ServerFacts;
  readonly recovery: Recovery;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

const pollMs = 50;
/** One file may take long to replay, and the checkpoint at the end too; but not longer. */
const stallTimeoutMs = 30 * 60_000;
/** Only names the socket: nothing listens. */
const port = 5432;

/** @throws engine-refused with the server's log, log-gap, storage errors, cancelled */
export async function replayLog(
  options: ReplayOptions,
  parts: ManagedStartParts,
): Promise<RecoveryReport> {
  const { managed, recovery, facts, signal, log } = options;
  const files = await planFiles(recovery, facts.notes, signal);
  options.onProgress(0, files.segments.length * files.segmentBytes);
  const signalFile = join(managed.dataDir, 'recovery.signal');
  await writeFile(signalFile, '', { mode: 0o600 });
  await giveFile(signalFile, parts.identity);
  await using feeder = await WalFeeder.open({
    ...{ homeDir: managed.homeDir, files, log: recovery.log, signal },
    ...{ identity: parts.identity, clock: parts.clock },
  });
  const attempt = (target: RecoveryTarget | null) =>
    runServer({ ...options, feeder, files, target }, parts);
  const { serverVersion } = facts;
  log.info({ serverVersion, segments: files.segments.length }, 'replaying archived log');
  const told = await attempt(recovery.target);
  if (told.outcome === 'recovered') return await readReport(options, told.text);
  if (!isCovered(recovery.target)) throw notFoundError(recovery.target);
  log.info('nothing lies behind the target: the log is replayed to its end');
  const again = await attempt(null);
  if (again.outcome === 'recovered') return await readReport(options, again.text);
  throw new CairnError('bug', 'a recovery without a target missed one');
}

/** Where the plan says that the target is covered, and the server that nothing lies behind it. */
function isCovered({ kind }: RecoveryTarget): boolean {
  return kind === 'time' || kind === 'log-position';
}

function notFoundError(target: RecoveryTarget): CairnError {
  const what =
    target.kind === 'name'
      ? `restore point ${target.name}`
      : target.kind === 'xid'
        ? `transaction ${target.xid}`
        : 'the target';
  return new CairnError('invalid', `${what} is not in the log behind the backup`, {
    hint: 'start from an older backup, or name a time',
  });
}

type RunOptions = ReplayOptions & {
  readonly feeder: WalFeeder;
  readonly files: RecoveryFiles;
  readonly target: RecoveryTarget | null;
};
type RunOutcome = { readonly outcome: 'recovered' | 'target-missed'; readonly text: string };

const missedText = 'recovery ended before configured recovery target was reached';

async function runServer(options: RunOptions, parts: ManagedStartParts): Promise<RunOutcome> {
  const { managed, facts, files, feeder, target, signal } = options;
  const { homeDir, dataDir, binDir } = managed;
  const logPath = join(homeDir, 'server.log');
  const logFrom = await stat(logPath).then(
    ({ size }) => size,
    () => 0,
  );
  const socketDir = await prepareSocketFolder(homeDir, socketNameOf(port), parts.identity);
  const args = planServerArguments({
    ...{ homeDir, dataDir, socketDir, port },
    ...{ notes: facts.notes, hasOwnConfig: facts.hasOwnConfig },
    major: Number(majorOf(facts.serverVersion)),
    memoryBytes: totalmem(),
    overrides: {
      ...recoverySettings({
        ...{ target, timeline: files.timeline, restoreCommand: feeder.restoreCommand },
      }),
      ...replaySettings(),
    },
  });
  const { identity } = parts;
  const server = await launchServer({ binDir, dataDir, args, logPath, identity });
  try {
    const isRecovered = await waitForEnd(options, server, parts);
    // A storage that failed is why the server has ended.
    if (!isRecovered && feeder.failure) throw feeder.failure;
    throwIfAborted(signal);
    const text = await readTextTail(logPath, logFrom);
    if (isRecovered) {
      await stopProcess(server.pid, parts.clock);
      return { outcome: 'recovered', text };
    }
    if (text.includes(missedText)) return { outcome: 'target-missed', text };
    throw await explainReplay(logPath, facts.serverVersion);
  } finally {
    if (!server.hasExited()) await stopProcess(server.pid, parts.clock, ['SIGQUIT', 'SIGKILL']);
    await removeSocketFolder(socketDir);
  }
}

/** Whether the server takes queries; if not, it has ended. @throws engine-refused, cancelled */
async function waitForEnd(
  { managed, facts, feeder, onProgress, signal }: RunOptions,
  server: RunningServer,
  { clock }: ManagedStartParts,
): Promise<boolean> {
  const beganAtMs = clock.monotonicMs();
  for (;;) {
    throwIfAborted(signal);
    if (server.hasExited()) return false;
    if ((await readStatus(managed.dataDir)) === 'ready') return true;
    onProgress(feeder.doneBytes, feeder.totalBytes);
    const quietMs = clock.monotonicMs() - Math.max(beganAtMs, feeder.movedAtMs);
    if (quietMs > stallTimeoutMs) {
      throw await explainReplay(join(managed.homeDir, 'server.log'), facts.serverVersion, {
        what: `recovery has not moved for ${Math.round(quietMs / 60_000)} minutes`,
      });
    }
    await clock.sleep(pollMs, signal).catch(() => throwIfAborted(signal));
  }
}

async function explainReplay(
  logPath: string,
  serverVersion: string,
  { what }: { readonly what: string } = { what: 'recovery ended without success' },
): Promise<CairnError> {
  const { reason, hint } = await explainStartFailure(logPath, majorOf(serverVersion));
  return new CairnError('engine-refused', `${what}: ${reason}`, { hint });
}

const newTimelinePattern = /selected new timeline ID: (\d+)/;
const lastCommitPattern =
  /last completed transaction was at log time (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)\+00/;

/** The new timeline's history ends with the place at which it has left the old one. */
async function readReport({ managed }: ReplayOptions, text: string): Promise<RecoveryReport> {
  const timeline = Number(newTimelinePattern.exec(text)?.[1]);
  if (!Number.isSafeInteger(timeline)) {
    throw new CairnError('engine-refused', 'the server has left recovery without a new timeline', {
      hint: `its log is ${join(managed.homeDir, 'server.log')}`,
    });
  }
  const path = join(managed.dataDir, 'pg_wal', historyFileName(timeline));
  const fork = parseHistory(await readFile(path, 'utf8')).at(-1);
  if (!fork) throw new CairnError('engine-refused', `${path} does not say where it begins`);
  const [, day, time] = lastCommitPattern.exec(text) ?? [];
  return {
    position: { engine: 'postgresql', timeline: fork.timeline, lsn: fork.endLsn },
    timeline,
    lastCommitAt: day === undefined ? null : new Date(`${day}T${time}Z`),
    transaction: null,
  };
}
