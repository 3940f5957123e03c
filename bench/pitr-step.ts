// One measured step of log archiving or recovery, in a process of its own. Arguments: one JSON
// object. Prints JSON, one object a line: how far the log is covered ten times a second, while it
// is followed, and the result.
import type { FollowLogOptions, LogStreamFacts } from '../src/engines/engine.ts';
import type { BackupId, ProjectId } from '../src/model/ids.ts';
import { newLogStreamId } from '../src/model/ids.ts';
import { parseLogPosition, parseLsn } from '../src/model/log-position.ts';
import { LogCollector, usualCollectorLimits } from '../src/operations/log-archive/log-collector.ts';
import { openLogSource } from '../src/operations/restore/open-recovery.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { idSource, systemRandom } from '../src/platform/random.ts';
import type { LogStreamWriter, Repository } from '../src/repository/repository.ts';
import type { RepositoryPlace } from './parts.ts';
import {
  createBenchDriver,
  benchInstanceId as instanceId,
  openBenchRepository,
  benchSignal as signal,
  usedCpuSeconds,
} from './parts.ts';

type FollowStep = {
  readonly kind: 'follow';
  readonly url: string;
  readonly keeperName: string;
  /** Until the position is stored, or for so long. */
  readonly until: { readonly lsn: string } | { readonly seconds: number };
};
type RecoverStep = {
  readonly kind: 'recover';
  readonly backupId: string;
  /** A log position as Cairn writes it. */
  readonly endPosition: string;
  readonly url: string;
  readonly binDir: string;
  readonly homeDir: string;
};
export type PitrRequest = RepositoryPlace & { readonly step: FollowStep | RecoverStep };

/** By the clock of this machine, which is the server's too. */
export type CoveredSample = { readonly kind: 'covered'; readonly ageMs: number };
export type PitrResult = {
  readonly kind: 'result';
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** When each phase of a recovery began. */
  readonly phases: Readonly<Record<string, number>>;
};

const sampleMs = 100;
const log = silentLogger;

async function follow(repository: Repository, step: FollowStep): Promise<void> {
  const over = new AbortController();
  let writer: LogStreamWriter | null = null;
  const requireWriter = (): LogStreamWriter => {
    if (!writer) throw new Error('no stream has begun');
    return writer;
  };
  const beginStream = async (facts: LogStreamFacts): Promise<void> => {
    const beganAt = systemClock.now();
    const streamId = newLogStreamId(idSource(systemRandom), beganAt);
    const of = { instanceId, projectId: 'bench' as ProjectId, instanceName: 'bench' };
    const record = { streamId, ...of, engine: 'postgresql', beganAt, facts } as const;
    writer = await repository.log.beginStream(record, beganAt, signal);
  };
  const collector = new LogCollector({
    ...{ clock: systemClock, limits: usualCollectorLimits, resume: null, beginStream },
    store: (piece, bytes) => requireWriter().store(piece, bytes, signal),
    async storeWhole(whole) {
      const { streamId } = requireWriter().record;
      const name = whole.file.name;
      const { bytes } = await repository.log.readFile(instanceId, streamId, name, signal);
      await requireWriter().store(whole, bytes, signal);
    },
    onStored: () => {
      const stored = collector.storedPosition;
      if (!('lsn' in step.until) || stored?.engine !== 'postgresql') return;
      if (stored.lsn >= (parseLsn(step.until.lsn) ?? 0n)) over.abort();
    },
    onFailure: (error) => over.abort(error),
    signal: over.signal,
  });
  const options: FollowLogOptions = {
    ...{ sink: collector, keeperName: step.keeperName, resume: null, log },
    onLag: () => undefined,
    signal: over.signal,
  };
  const driver = createBenchDriver('postgresql');
  const sampling = sample(collector, over);
  if ('seconds' in step.until) setTimeout(() => over.abort(), step.until.seconds * 1000);
  await driver.followLog(driver.parseUrl(step.url), options).catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  over.abort();
  await collector.settle();
  await sampling;
  if (collector.failure) throw collector.failure.error;
}

async function sample(collector: LogCollector, over: AbortController): Promise<void> {
  while (!over.signal.aborted) {
    const { covered } = collector;
    const ageMs = covered && Date.now() - covered.at.getTime();
    if (ageMs !== null) print({ kind: 'covered', ageMs });
    await systemClock.sleep(sampleMs, over.signal).catch(() => undefined);
  }
}

async function recover(repository: Repository, step: RecoverStep, begin: (name: string) => void) {
  const driver = createBenchDriver('postgresql', [step.binDir]);
  const source = await repository.openReader(instanceId, step.backupId as BackupId, signal);
  const [stream] = await repository.log.listStreams(instanceId, signal);
  const endPosition = parseLogPosition(step.endPosition);
  if (!stream || !endPosition) throw new Error('no log is stored');
  const startPosition = source.stored.facts.base.stopPosition;
  const range = { instanceId, streamId: stream.streamId, startPosition, endPosition };
  const logSource = await openLogSource(repository.log, range, signal);
  const target = { kind: 'latest', timeline: null } as const;
  await driver.startRestored({
    ...{ source, homeDir: step.homeDir, port: 0, signal, log },
    recovery: { target, log: logSource, newestTimeline: 1, skippedTransactions: [] },
    login: { connection: driver.parseUrl(step.url), rolePassword: 'ensure' },
    onProgress: begin,
  });
}

async function run({ step, ...place }: PitrRequest): Promise<PitrResult> {
  const phases: Record<string, number> = {};
  const beganMs = performance.now();
  const secondsSince = (): number => (performance.now() - beganMs) / 1000;
  await using repository = await openBenchRepository(place);
  if (step.kind === 'follow') await follow(repository, step);
  else {
    await recover(repository, step, (phase) => {
      phases[phase] ??= secondsSince();
    });
  }
  return {
    kind: 'result',
    wallSeconds: secondsSince(),
    cpuSeconds: usedCpuSeconds(),
    phases,
  };
}

function print(line: CoveredSample | PitrResult): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

print(await run(JSON.parse(process.argv[2] ?? '{}')));
