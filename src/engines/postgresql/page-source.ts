// A base backup over ordinary SQL connections, for roles that may read the server's files: several
// connections read at once, and a file that was not written since the previous backup is not read
// at all. One session holds slot and backup mode, others read, and the sink gets everything in
// order. What is left out, padded and checked is what `BASE_BACKUP` leaves out, pads and checks.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import type { BaseBackupOptions, BaseBackupResult } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { toEngineNotes } from './backup-notes.ts';
import { verifyLogRange } from './log-position.ts';
import { readControlFile } from './page-source-control.ts';
import type { KeepRule } from './page-source-keep.ts';
import { isKept, planKeep } from './page-source-keep.ts';
import { controlFile, parseListRow } from './page-source-list.ts';
import { listLogStatement, planLog, sendLog } from './page-source-log.ts';
import { buildManifest } from './page-source-manifest.ts';
import { planRequests } from './page-source-plan.ts';
import type { SentFile } from './page-source-send.ts';
import { PageSender } from './page-source-send.ts';
import type { StoppedBackup } from './page-source-session.ts';
import type { StartedPages, Unsuitable } from './page-source-start.ts';
import { startPageBackup } from './page-source-start.ts';
import type { ServerSettings } from './server-settings.ts';
import { pickStartSettings } from './server-settings.ts';

export type PageBackupParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: { readonly firstByteTimeoutMs: number; readonly silenceTimeoutMs: number };
  readonly settings: ServerSettings;
};

export type PageBackupOutcome =
  | Unsuitable
  | {
      readonly kind: 'taken';
      readonly result: BaseBackupResult;
      readonly keptBytes: number;
      /** Null: what has not changed was not read. */
      readonly everythingReadBecause: string | null;
    };

const labelCharactersMax = 200;

/**
 * `unsuitable` leaves the sink untouched: ask the server for a stream then.
 * @throws engine-unreachable, engine-refused, log-gap, cancelled; whatever the sink throws
 */
export async function takePageBackup(
  connection: Connection,
  options: BaseBackupOptions,
  parts: PageBackupParts,
): Promise<PageBackupOutcome> {
  const { signal, log } = options;
  const { clock, random, limits, settings } = parts;
  const { firstByteTimeoutMs: slowTimeoutMs, silenceTimeoutMs } = limits;
  const sessionParts = { signal, log, clock, slowTimeoutMs, silenceTimeoutMs };
  await using opened = new AsyncDisposableStack();
  const startOptions = {
    major: settings.major,
    label: options.label.replace(/\p{Cc}/gu, ' ').slice(0, labelCharactersMax),
    slotName: `cairn_${random.hex(8)}`,
  };
  const scene = await startPageBackup(connection, startOptions, sessionParts, opened);
  if (scene.kind === 'unsuitable') return scene;
  const rule = planKeep(options.previous, keepFacts(scene, settings));
  const sender = createSender(scene, options, parts);
  await sendDataFolder(scene, { sender, rule }, options, parts);
  const stopped = await scene.session.stopBackup();
  assertSameTablespaces(scene, stopped);
  await sendLogFiles(scene, stopped, sender, parts);
  await sendLabels(scene, stopped, sender, parts);
  await scene.session.dropSlot(startOptions.slotName);
  return {
    kind: 'taken',
    result: toResult(scene, stopped, sender, parts),
    keptBytes: sender.totals.keptBytes,
    everythingReadBecause: rule.kind === 'nothing' ? `every file is read: ${rule.reason}` : null,
  };
}

function keepFacts(
  { facts, started }: StartedPages,
  { blockSizeBytes }: ServerSettings,
): Parameters<typeof planKeep>[1] {
  const { position, clockMs } = started;
  return { ...facts, blockSizeBytes, startPosition: position, startClockMs: clockMs };
}

function createSender(
  { session, facts, list, started }: StartedPages,
  { sink, onProgress, signal }: BaseBackupOptions,
  { clock, settings }: PageBackupParts,
): PageSender {
  const { blockSizeBytes, dataChecksums } = settings;
  const totalBytes = list.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let doneBytes = 0;
  onProgress(0, totalBytes);
  return new PageSender({
    ...{ sink, session, blockSizeBytes, clock, signal },
    segmentBlocks: facts.segmentBlocks,
    check: dataChecksums ? { blockSizeBytes, startLsn: started.position.lsn } : null,
    fileMode: facts.folderMode & 0o666,
    onBytes: (bytes) => {
      doneBytes += bytes;
      onProgress(doneBytes, totalBytes);
    },
  });
}

type Sending = { readonly sender: PageSender; readonly rule: KeepRule };

async function sendDataFolder(
  { session, lanes, facts, list }: StartedPages,
  { sender, rule }: Sending,
  { sink, signal, log }: BaseBackupOptions,
  { clock, settings }: PageBackupParts,
): Promise<void> {
  if (rule.kind === 'nothing') log.info({}, `every file is read: ${rule.reason}`);
  for (const path of list.folders) sink.directory({ path, mode: facts.folderMode });
  const requests = planRequests(list.files, (file) => isKept(file, settings.blockSizeBytes, rule));
  await sender.sendFiles(lanes, requests);
  const control = await readControlFile(session, { clock, signal });
  await sender.sendContent(controlFile, control, clock.now());
}

/** The restore makes folders for those that were there when the backup began. */
function assertSameTablespaces({ tablespaces }: StartedPages, stopped: StoppedBackup): void {
  const mapped = stopped.tablespaceMap.split('\n').map((line) => line.split(' ')[0]);
  const inMap = new Set(mapped.filter((oid) => oid !== ''));
  const known = tablespaces.map(({ oid }) => oid);
  if (inMap.size === known.length && known.every((oid) => inMap.has(oid))) return;
  throw new CairnError('engine-refused', 'the tablespaces changed while the backup began', {
    hint: 'take the backup again',
    details: { mapped: [...inMap].join(', '), known: known.join(', ') },
  });
}

async function sendLogFiles(
  { session, lanes, started }: StartedPages,
  stopped: StoppedBackup,
  sender: PageSender,
  { clock, settings }: PageBackupParts,
): Promise<void> {
  const rows = await session.rows(listLogStatement, 'the list of log files');
  const { walSegmentBytes: segmentBytes } = settings;
  const range = { start: started.position, stop: stopped.position, segmentBytes };
  const files = planLog(rows.map(parseListRow), range);
  await sendLog(files, lanes, sender, clock.now());
}

async function sendLabels(
  { facts, started }: StartedPages,
  { position, label, tablespaceMap }: StoppedBackup,
  sender: PageSender,
  { clock, settings }: PageBackupParts,
): Promise<void> {
  const now = clock.now();
  await sender.sendContent('backup_label', Buffer.from(label), now);
  await sender.sendContent('tablespace_map', Buffer.from(tablespaceMap), now);
  const { major } = settings;
  const { systemIdentifier } = facts;
  const range = { start: started.position, stop: position };
  const manifest = buildManifest(sender.sent, { major, systemIdentifier, ...range });
  await sender.sendContent('backup_manifest', manifest, now);
}

function toResult(
  scene: StartedPages,
  { position: stop }: StoppedBackup,
  sender: PageSender,
  { settings }: PageBackupParts,
): BaseBackupResult {
  const { facts, started, lanes } = scene;
  const received = new Map(sender.sent.map((file) => [file.path, file.sizeBytes]));
  const range = { start: started.position, stop };
  const notes: PostgresNotes = {
    version: 1,
    blockSizeBytes: settings.blockSizeBytes,
    walSegmentBytes: settings.walSegmentBytes,
    timeline: stop.timeline,
    systemIdentifier: facts.systemIdentifier,
    dataChecksums: settings.dataChecksums,
    fromStandby: false,
    superuser: settings.superuser,
    tablespaces: scene.tablespaces.map(({ oid, location }) => {
      return { oid, location, sizeBytes: sumBelow(sender.sent, `pg_tblspc/${oid}/`) };
    }),
    startClockMs: started.clockMs,
    serverStartMs: settings.serverStartMs,
    settings: pickStartSettings(settings),
  };
  return {
    serverVersion: settings.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    startPosition: started.position,
    stopPosition: stop,
    lastLogFile: verifyLogRange(range, settings.walSegmentBytes, received),
    notes: { ...toEngineNotes(notes), laneCount: lanes.laneCount },
  };
}

function sumBelow(files: readonly SentFile[], prefix: string): number {
  const below = files.filter(({ path }) => path.startsWith(prefix));
  return below.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
