// A base backup of which the server sends only what has changed since the previous one (PostgreSQL
// 17 and later, with `summarize_wal`): it is given the manifest of that backup, and tells by the
// summaries of its log which blocks have been written since. The sink gets whole files.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { formatLogPosition } from '../../model/log-position.ts';
import type { BaseBackupOptions, BaseBackupResult, PreviousBackup } from '../engine.ts';
import { manifestPath } from './backup-manifest.ts';
import type { BaseBackupParts } from './base-backup.ts';
import { commandLimits, createSlot, identifySystem, receiveBackup } from './base-backup.ts';
import { refusePrevious } from './increment-request.ts';
import { IncrementSink } from './increment-sink.ts';
import { ReplicationStream } from './replication-stream.ts';
import type { ServerSettings } from './server-settings.ts';

export type IncrementOutcome =
  | { readonly kind: 'taken'; readonly result: BaseBackupResult; readonly keptBytes: number }
  /** Nothing has reached the sink: take the backup in another way. */
  | { readonly kind: 'refused'; readonly reason: string };

/** A copy of the manifest is sent in messages of this size at most. */
const messageBytesMax = 64 * 1024;

/** @throws engine-unreachable, engine-refused, log-gap, cancelled; whatever the sink throws */
export async function takeIncrement(
  connection: Connection,
  options: BaseBackupOptions & { readonly previous: PreviousBackup },
  parts: BaseBackupParts & { readonly settings: ServerSettings },
): Promise<IncrementOutcome> {
  const { previous, sink, signal, log } = options;
  const { settings, clock } = parts;
  const { blockSizeBytes } = settings;
  const increment = new IncrementSink({ sink, previous, blockSizeBytes, signal });
  try {
    const reason = refusePrevious(previous, settings);
    if (reason !== null) return { kind: 'refused', reason };
    await using stream = await ReplicationStream.open(connection, { signal, log, clock });
    const system = await identifySystem(stream);
    if (system.systemIdentifier !== previous.systemIdentifier) {
      return { kind: 'refused', reason: 'the previous backup is of another server' };
    }
    await createSlot(stream, parts.random);
    await uploadManifest(stream, previous, { ...parts, signal });
    const result = await receiveBackup(stream, { ...parts, ...system, increment }, options);
    const from = formatLogPosition(previous.startPosition);
    const { keptBytes } = increment;
    log.info({ from, keptBytes }, 'the server sent what has changed');
    const notes = { ...result.notes, incrementFrom: from };
    return { kind: 'taken', result: { ...result, notes }, keptBytes };
  } catch (error) {
    if (increment.hasBegun || !isRefusal(error)) throw error;
    log.warn({ err: error }, 'the server cannot send an increment');
    return { kind: 'refused', reason: error.message };
  }
}

/** Refused by the server, or the manifest cannot be read: another way may do without either. */
function isRefusal(error: unknown): error is CairnError {
  const kinds = ['engine-refused', 'repository-damaged', 'not-found'];
  return error instanceof CairnError && kinds.includes(error.kind);
}

/** Tells the server what the next backup on this connection is an increment to. */
export async function uploadManifest(
  stream: ReplicationStream,
  previous: PreviousBackup,
  { limits, signal }: Pick<BaseBackupParts, 'limits'> & { readonly signal: AbortSignal },
): Promise<void> {
  await stream.query('UPLOAD_MANIFEST', {
    ...commandLimits('the manifest of the previous backup'),
    silenceTimeoutMs: limits.silenceTimeoutMs,
    copyIn: inMessages(previous.read(manifestPath, signal)),
  });
}

async function* inMessages(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    for (let at = 0; at < piece.byteLength; at += messageBytesMax) {
      yield piece.subarray(at, at + messageBytesMax);
    }
  }
}
