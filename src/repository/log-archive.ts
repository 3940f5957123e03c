// `Repository.log`: see `log-door.ts` for what it promises.
import { CairnError, isErrorKind } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import type { DataKey } from './keys.ts';
import type { LogDeletion, LogStreamRecord, LogStreamWriter, RepositoryLog } from './log-door.ts';
import { listLogFiles, readLogFile, streamLogFile } from './log-file.ts';
import { streamObject } from './log-names.ts';
import { getStream, listStreams, surveyStream } from './log-reader.ts';
import { encodeStream } from './log-records.ts';
import { removeLog } from './log-removal.ts';
import type { LogParts } from './log-store.ts';
import { readPiece } from './log-store.ts';
import { createLogWriter } from './log-writer.ts';
import { encodeFrames, ObjectEncoder } from './sealed-object.ts';

export type LogArchiveParts = LogParts & {
  readonly repositoryId: string;
  readonly level: number;
  /** Whether the storage holds the repository still, and it is ours to write. */
  readonly assertMounted: (signal: AbortSignal) => Promise<void>;
  /** The same for deletions, at each look at the lease. */
  readonly guard: (options: LogDeletion) => LogDeletion;
};

export function createRepositoryLog(parts: LogArchiveParts): RepositoryLog {
  return {
    beginStream: (record, now, signal) => beginStream(parts, { record, now, signal }),
    resumeStream: async (instanceId, streamId, signal) => {
      const record = await certainly(parts, signal, () =>
        getStream(parts, { instanceId, streamId }, signal),
      );
      // The key is there already: it has sealed the record.
      return await openWriter(parts, { record, now: record.beganAt, signal });
    },
    listStreams: (instanceId, signal) => listStreams(parts, instanceId, signal),
    surveyStream: (instanceId, streamId, signal, sequenceFrom = 0) =>
      certainly(parts, signal, () =>
        surveyStream(parts, { instanceId, streamId, sequenceFrom, signal }),
      ),
    readFile: (instanceId, streamId, fileName, signal) =>
      readLogFile(parts, { instanceId, streamId, fileName, signal }),
    streamFile: (instanceId, streamId, fileName, signal) =>
      streamLogFile(parts, { instanceId, streamId, fileName, signal }),
    readPiece: ({ objectName: name, storedBytes: sizeBytes }, signal) =>
      readPiece(parts, { name, sizeBytes }, signal),
    listFiles: (instanceId, streamId, signal) =>
      listLogFiles(parts, { instanceId, streamId, signal }),
    removeBefore: (instanceId, streamId, position, options) =>
      removeLog(parts, { instanceId, streamId }, { position, ...parts.guard(options) }),
  };
}

/** A volume that was unmounted holds nothing: that must not end a stream, nor say that it ended. */
async function certainly<T>(
  { assertMounted }: LogArchiveParts,
  signal: AbortSignal,
  look: () => Promise<T>,
): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (isErrorKind(error, 'not-found')) await assertMounted(signal);
    throw error;
  }
}

type Opening = {
  readonly record: LogStreamRecord;
  readonly now: Date;
  readonly signal: AbortSignal;
};

async function beginStream(parts: LogArchiveParts, opening: Opening): Promise<LogStreamWriter> {
  const { storage, repositoryId } = parts;
  const { record, signal } = opening;
  const dataKey = await ensureKey(parts, record.instanceId, opening);
  const name = streamObject(record);
  const encoder = new ObjectEncoder({ kind: 'log-stream', name, dataKey });
  const bytes = encodeFrames(encoder, [encodeStream(record, repositoryId)]);
  if ((await storage.createExclusive(name, bytes, signal)) === 'exists') {
    throw new CairnError('conflict', `log stream ${record.streamId} exists`, {
      hint: 'resume it, or begin one of another id',
    });
  }
  return createWriter(parts, record, dataKey);
}

async function openWriter(parts: LogArchiveParts, opening: Opening): Promise<LogStreamWriter> {
  const { record } = opening;
  return createWriter(parts, record, await ensureKey(parts, record.instanceId, opening));
}

/** The newest, durable, and the one that is stored. */
async function ensureKey(
  { storage, keys, assertMounted }: LogArchiveParts,
  instanceId: InstanceId,
  { now, signal }: Opening,
): Promise<DataKey> {
  await assertMounted(signal);
  const dataKey = await keys.ensure(instanceId, now, signal);
  // Another process may have minted it a moment ago.
  await storage.flush([dataKey.objectName], signal);
  await keys.assertStored(dataKey, signal);
  return dataKey;
}

function createWriter(
  parts: LogArchiveParts,
  record: LogStreamRecord,
  dataKey: DataKey,
): LogStreamWriter {
  const assertReadable = async (signal: AbortSignal): Promise<void> => {
    await parts.assertMounted(signal);
    await parts.keys.assertStored(dataKey, signal);
  };
  return createLogWriter({ ...parts, record, dataKey, assertReadable });
}
