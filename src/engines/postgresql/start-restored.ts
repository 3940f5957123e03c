// A backup becomes a running server: restore, settle, recover, start, prove. The two halves can
// also be had one by one, for who must look at the result of the first before the second.
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManagedServer } from '../../model/instance.ts';
import { choosePort } from '../../platform/free-port.ts';
import { prepareHome } from '../../platform/server-folder.ts';
import type {
  Recovered,
  ServerPrepareOptions,
  ServerStartOptions,
  StartedServer,
} from '../engine.ts';
import { parseNotes } from './backup-notes.ts';
import { assertPossible } from './recovery-settings.ts';
import { replayLog } from './replay-log.ts';
import { restoreFiles } from './restore.ts';
import { formatConfig } from './server-config.ts';
import { writeServerFacts } from './server-facts.ts';
import { settleFiles } from './server-home.ts';
import type { ManagedStartParts } from './start-managed.ts';
import { startManaged } from './start-managed.ts';

export type StartParts = ManagedStartParts & { readonly binDir: string };

/** @throws invalid, engine-refused with the server's log, log-gap, repository-damaged, cancelled */
export async function startRestored(
  options: ServerStartOptions,
  parts: StartParts,
): Promise<StartedServer & Recovered> {
  const { login, signal, log } = options;
  // Chosen now: a port that cannot be had is known before hours of restoring.
  const port = await choosePort(options.port);
  const { managed, recovered } = await prepareRestored(options, parts);
  const started = await startManaged(managed, { ...login, port, signal, log }, parts);
  return { ...started, recovered };
}

/** @throws invalid, repository-damaged, log-gap, engine-refused, cancelled */
export async function prepareRestored(
  options: ServerPrepareOptions,
  parts: StartParts,
): Promise<{ readonly managed: ManagedServer } & Recovered> {
  const { source, recovery, signal, log } = options;
  assertPossible(recovery);
  const notes = parseNotes(source.notes);
  const homeDir = await prepareHome(options.homeDir, parts.identity);
  const dataDir = join(homeDir, 'data');
  const plan = await restoreFiles({
    source,
    seedDir: options.seed?.dataDir,
    targetDir: dataDir,
    tablespaceDirs: {},
    tablespaceParentDir: join(homeDir, 'tablespaces'),
    onProgress: (doneBytes, totalBytes) => options.onProgress('restoring', doneBytes, totalBytes),
    signal,
  });
  const hasOwnConfig = await stat(join(dataDir, 'postgresql.conf')).then(
    () => true,
    () => false,
  );
  if (!hasOwnConfig) {
    await writeFile(join(homeDir, 'postgresql.conf'), formatConfig(notes), { mode: 0o600 });
  }
  const facts = { serverVersion: source.serverVersion, notes, hasOwnConfig };
  await settleFiles(homeDir, dataDir, parts.identity);
  const managed = { homeDir, dataDir, binDir: parts.binDir };
  const onProgress = (doneBytes: number, totalBytes: number): void =>
    options.onProgress('replaying', doneBytes, totalBytes);
  const replay = { managed, facts, onProgress, signal, log };
  const recovered = recovery && (await replayLog({ ...replay, recovery }, parts));
  options.onProgress('starting', plan.totalBytes, plan.totalBytes);
  // Last: with them the folder counts as one that can be started.
  await writeServerFacts(homeDir, facts, parts.random);
  return { managed, recovered };
}
