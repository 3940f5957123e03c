// What a server that recovers in a folder asks for, file by file: everything that is needed lies in
// a plan beside the folder, but for the key and the credentials of the storage.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EngineNotes } from '../../engines/engine.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { engines as engineNames } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, LogStreamId } from '../../model/ids.ts';
import { parseInstanceId, parseLogStreamId } from '../../model/ids.ts';
import { driverFor } from '../parts.ts';
import type { FolderRestoreParts } from './restore-to-folder.ts';

export const fetchPlanName = 'recovery.json';
const version = 1;

export type FetchPlan = {
  /** The address of the storage, without credentials. */
  readonly storageUrl: string;
  /** Where the file of the master key lies, unless the environment holds the key. */
  readonly dataDir: string;
  readonly engine: Engine;
  readonly instanceId: InstanceId;
  readonly streamId: LogStreamId;
  /** The engine's own. */
  readonly files: EngineNotes;
};

export type LogFetchPlace = {
  readonly place: Pick<FetchPlan, 'storageUrl' | 'dataDir'>;
  /** For a shell; the name of the file and its place follow. */
  commandFor(planPath: string): string;
};

export function formatFetchPlan(plan: FetchPlan): string {
  return `${JSON.stringify({ version, ...plan })}\n`;
}

/** @throws invalid */
export async function readFetchPlan(path: string): Promise<FetchPlan> {
  const plan = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  const engine = engineNames.find((name) => name === plan['engine']);
  const instanceId = parseInstanceId(String(plan['instanceId']));
  const streamId = parseLogStreamId(String(plan['streamId']));
  const files = plan['files'];
  const isFiles = typeof files === 'object' && files !== null;
  if (plan['version'] !== version || !engine || !instanceId || !streamId || !isFiles) {
    throw new CairnError('invalid', `${path} is no plan of a recovery`);
  }
  const place = { storageUrl: String(plan['storageUrl']), dataDir: String(plan['dataDir']) };
  return { ...place, engine, instanceId, streamId, files: files as EngineNotes };
}

export type FetchRequest = {
  readonly planPath: string;
  readonly plan: FetchPlan;
  readonly name: string;
  readonly targetPath: string;
  readonly signal: AbortSignal;
};

/** @throws log-gap, storage errors, repository-damaged */
export async function fetchArchivedLog(
  { repository, engines }: FolderRestoreParts,
  { planPath, plan, name, targetPath, signal }: FetchRequest,
): Promise<'found' | 'absent'> {
  const { instanceId, streamId } = plan;
  return await driverFor(engines, plan.engine).fetchLog({
    ...{ plan: plan.files, name, targetPath, signal },
    log: {
      readFile: (file, reading) => repository.log.readFile(instanceId, streamId, file, reading),
      streamFile: (file, reading) => repository.log.streamFile(instanceId, streamId, file, reading),
    },
    spoolDir: join(dirname(planPath), 'spool'),
  });
}
