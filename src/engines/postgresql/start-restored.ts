// A backup becomes a running server: restore, settle, start, prove. The two halves can also be had
// one by one, for who must look at the result of the first before the second.
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManagedServer } from '../../model/instance.ts';
import type { ServerPrepareOptions, ServerStartOptions, StartedServer } from '../engine.ts';
import { parseNotes } from './backup-notes.ts';
import { restoreFiles } from './restore.ts';
import { formatConfig } from './server-config.ts';
import { writeServerFacts } from './server-facts.ts';
import { prepareHome, settleFiles } from './server-home.ts';
import type { ManagedStartParts } from './start-managed.ts';
import { choosePort, startManaged } from './start-managed.ts';

export type StartParts = ManagedStartParts & { readonly binDir: string };

/** @throws invalid, engine-refused with the server's log, repository-damaged, cancelled */
export async function startRestored(
  options: ServerStartOptions,
  parts: StartParts,
): Promise<StartedServer> {
  const { login, signal, log } = options;
  // Chosen now: a port that cannot be had is known before hours of restoring.
  const port = await choosePort(options.port);
  const managed = await prepareRestored(options, parts);
  return await startManaged(managed, { ...login, port, signal, log }, parts);
}

/** Everything is there and durable, nothing runs. @throws invalid, repository-damaged, cancelled */
export async function prepareRestored(
  options: ServerPrepareOptions,
  parts: StartParts,
): Promise<ManagedServer> {
  const { source, signal } = options;
  const notes = parseNotes(source.notes);
  const homeDir = await prepareHome(options.homeDir, parts.identity);
  const dataDir = join(homeDir, 'data');
  const plan = await restoreFiles({
    source,
    targetDir: dataDir,
    tablespaceDirs: {},
    tablespaceParentDir: join(homeDir, 'tablespaces'),
    onProgress: (doneBytes, totalBytes) => options.onProgress('restoring', doneBytes, totalBytes),
    signal,
  });
  options.onProgress('starting', plan.totalBytes, plan.totalBytes);
  const hasOwnConfig = await stat(join(dataDir, 'postgresql.conf')).then(
    () => true,
    () => false,
  );
  if (!hasOwnConfig) {
    await writeFile(join(homeDir, 'postgresql.conf'), formatConfig(notes), { mode: 0o600 });
  }
  const { serverVersion } = source;
  await writeServerFacts(homeDir, { serverVersion, notes, hasOwnConfig }, parts.random);
  await settleFiles(homeDir, dataDir, parts.identity);
  return { homeDir, dataDir, binDir: parts.binDir };
}
