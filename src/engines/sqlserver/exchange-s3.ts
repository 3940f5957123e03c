// The exchange as a prefix of a bucket, from SQL Server 2022 on: the server writes and reads the
// objects with its own S3 connector, Cairn with its keys. Nothing stays there (docs/decisions,
// "0018"): what the server has written goes into the repository like a file of a folder.
//
// A backup that fails or is cancelled leaves an upload behind that no listing of objects shows, and
// that is paid for. It counts as there until it is removed: `list` names it, `open` finds nothing.
import { CairnError } from '../../model/errors.ts';
import type { Secret } from '../../model/secret.ts';
import type { BackupBucket } from './backup-bucket.ts';
import type { BackupDevices } from './devices.ts';
import type { Exchange, ExchangeFile, ExchangeName, FileToPut } from './exchange.ts';
import { backupsOf, fileNameOf, fileNames } from './exchange-names.ts';

export type BucketObject = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
};

/**
 * What the exchange needs of an object store, at names below its prefix. What fails is a
 * `CairnError`; `details.failure` is a word for what the store has said.
 */
export interface Bucket {
  /** @throws storage-unavailable: no such bucket, no access to it, no store there */
  check(signal: AbortSignal): Promise<void>;
  /** Null: there is none. */
  find(name: string, signal: AbortSignal): Promise<BucketObject | null>;
  read(object: BucketObject, fromBytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Replaces what has the name. Durable when it answers. */
  write(name: string, file: FileToPut, signal: AbortSignal): Promise<void>;
  /** Harmless when there is none. */
  delete(name: string, signal: AbortSignal): Promise<void>;
  /** Complete, or it throws. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<BucketObject>;
  /** The names of uploads that have begun and not ended. */
  listUnfinished(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Forgets them, whoever has begun them. */
  abortUnfinished(prefix: string, signal: AbortSignal): Promise<void>;
  /**
   * Those of the profile. Null: it has none, they are made anew every so often, or they are those
   * that the service itself uses.
   */
  findOwnKeys(): Promise<{
    readonly accessKeyId: string;
    readonly secretKey: Secret;
  } | null>;
}

/** Connects to nothing yet. @throws invalid */
export type OpenBucket = (place: {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  readonly endpoint: string;
  readonly region: string;
  readonly caFile: string | null;
  readonly profile: string | null;
}) => Promise<Bucket>;

/** The server's own, where none is named. */
const usualRegion = 'us-east-1';

/** @throws invalid */
export async function openS3Exchange(
  place: BackupBucket,
  openBucket: OpenBucket,
): Promise<Exchange> {
  return new S3Exchange(place, await openBucketOf(place, openBucket));
}

/** @throws invalid */
export async function openBucketOf(place: BackupBucket, openBucket: OpenBucket): Promise<Bucket> {
  const { bucket, prefix, endpoint, region, caFile, profile } = place;
  return await openBucket({
    ...{ bucket, endpoint, caFile, profile },
    region: region ?? usualRegion,
    prefix: prefix === '' ? '' : `${prefix}/`,
  });
}

class S3Exchange implements Exchange {
  readonly #place: BackupBucket;
  readonly #bucket: Bucket;

  constructor(place: BackupBucket, bucket: Bucket) {
    this.#place = place;
    this.#bucket = bucket;
  }

  devices(backup: ExchangeName): BackupDevices {
    const { url, region } = this.#place;
    return { kind: 's3', urls: fileNames(backup).map((name) => `${url}/${name}`), region };
  }

  async open(
    backup: ExchangeName,
    stripe: number,
    signal: AbortSignal,
  ): Promise<ExchangeFile | null> {
    const name = fileNameOf(backup, stripe);
    const found = await told(() => this.#bucket.find(name, signal));
    if (found === null) return null;
    const { sizeBytes, modifiedAt } = found;
    const bucket = this.#bucket;
    return {
      ...{ sizeBytes, modifiedAt },
      async *read(fromBytes, until) {
        try {
          yield* bucket.read(found, fromBytes, until);
        } catch (error) {
          throw explain(error);
        }
      },
    };
  }

  async put(
    backup: ExchangeName,
    stripe: number,
    file: FileToPut,
    signal: AbortSignal,
  ): Promise<void> {
    let hasSourceFailed = false;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      try {
        yield* file.bytes;
      } catch (error) {
        hasSourceFailed = true;
        throw error;
      }
    }
    const { sizeBytes } = file;
    try {
      const name = fileNameOf(backup, stripe);
      await this.#bucket.write(name, { sizeBytes, bytes: bytes() }, signal);
    } catch (error) {
      // What the repository could not give is not the exchange's fault.
      throw hasSourceFailed ? error : explain(error);
    }
  }

  async remove(backup: ExchangeName, signal: AbortSignal): Promise<void> {
    await told(async () => {
      for (const name of fileNames(backup)) await this.#bucket.delete(name, signal);
      // With the dot that ends the name: another one may begin in the same way.
      await this.#bucket.abortUnfinished(`${backup.name}.`, signal);
    });
  }

  async list(prefix: string, signal: AbortSignal): Promise<readonly ExchangeName[]> {
    return await told(async () => {
      const objects = await Array.fromAsync(this.#bucket.list(prefix, signal));
      const unfinished = await this.#bucket.listUnfinished(prefix, signal);
      return backupsOf([...objects.map(({ name }) => name), ...unfinished], prefix);
    });
  }
}

async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explain(error);
  }
}

/** By what the store has said. */
const hints: Readonly<Record<string, string>> = {
  'no-bucket': 'create the bucket, or correct backupUrl; Cairn makes no buckets',
  'no-object': 'is there an S3 store where backupUrl and backupEndpoint point to?',
  other: 'is there an S3 store where backupUrl and backupEndpoint point to?',
  silent: 'is there an S3 store where backupUrl and backupEndpoint point to?',
  refused: 'does the store run? backupUrl, or backupEndpoint, says where it is',
  network: 'check the network, and the store in backupUrl or backupEndpoint',
  credentials: 'check the keys of the worker: those of backupProfile, or its usual AWS keys',
  'no-credentials': 'give the worker AWS keys, or name those to use with backupProfile',
  denied: 'the keys of the worker must be able to list, read, write and delete below backupUrl',
  region: 'add backupRegion to the connection string',
  certificate: 'add backupCa=/path/ca.pem to the connection string',
  full: 'enlarge the quota of the bucket in which backups are handed over',
};

/** Hints that speak of the repository's own storage would send people to the wrong place. */
function explain(error: unknown): unknown {
  if (!(error instanceof CairnError)) return error;
  const { kind, message, details, cause } = error;
  const { failure } = details;
  if (typeof failure !== 'string') return error;
  const hint = hints[failure] ?? error.hint ?? undefined;
  // An object that is shorter than it was, is none of the repository's.
  const isOurs = kind === 'repository-damaged' || kind === 'not-found' || kind === 'conflict';
  return new CairnError(isOurs ? 'storage-unavailable' : kind, message, {
    ...{ details, cause },
    ...(hint === undefined ? {} : { hint }),
  });
}
