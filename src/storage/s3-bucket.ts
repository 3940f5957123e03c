// A prefix of a bucket in which somebody else writes and reads too: whole objects, as they are now.
// Not a `Storage`: nothing is created conditionally, and names may be written again.
import type { ListMultipartUploadsCommandOutput } from '@aws-sdk/client-s3';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { Secret } from '../model/secret.ts';
import type { S3Connection } from './s3-client.ts';
import { createS3Client } from './s3-client.ts';
import { S3Refusal } from './s3-failure.ts';
import type { FoundObject } from './s3-requests.ts';
import { S3Requests } from './s3-requests.ts';
import type { RetryParts } from './s3-retry.ts';
import { usualPatience } from './s3-retry.ts';
import { abortUpload, partBytes, partsMax, S3Writer } from './s3-writer.ts';
import { Slots } from './slots.ts';
import type { S3Address } from './storage-url.ts';

/** What one GET brings. */
const readBytes = 8 * 1024 * 1024;
/** Of one object on its way to the store. */
const partsInFlightMax = 4;

export type S3BucketAddress = Pick<
  S3Address,
  'bucket' | 'prefix' | 'endpoint' | 'region' | 'caFile'
> & {
  /** Of the AWS settings of this machine; null: those of the service itself. */
  readonly profile: string | null;
};

export type StaticKeys = { readonly accessKeyId: string; readonly secretKey: Secret };

type Unfinished = { readonly name: string; readonly uploadId: string };

export class S3Bucket {
  readonly #requests: S3Requests;
  readonly #profile: string | null;

  private constructor(requests: S3Requests, profile: string | null) {
    this.#requests = requests;
    this.#profile = profile;
  }

  /** Connects to nothing yet. @throws invalid when the CA file cannot be read */
  static async open(
    { profile, ...place }: S3BucketAddress,
    parts: Pick<RetryParts, 'clock' | 'random' | 'log'> & Partial<Pick<RetryParts, 'patience'>>,
  ): Promise<S3Bucket> {
    const address: S3Address = { ...place, pathStyle: true, lock: null, at: null };
    const connection = await createS3Client(address, parts.clock, profile);
    const location = `s3://${place.bucket}/${place.prefix} at ${place.endpoint ?? 'Amazon'}`;
    return new S3Bucket(
      new S3Requests({ patience: usualPatience, ...parts, connection, address, location }),
      profile,
    );
  }

  /** @throws storage-unavailable: no such bucket, no access to it, no store there */
  async check(signal: AbortSignal): Promise<void> {
    await this.#requests.assertBucket(signal);
  }

  /** Null: there is none. @throws storage-unavailable */
  async find(name: string, signal: AbortSignal): Promise<FoundObject | null> {
    try {
      const { sizeBytes, modifiedAt } = await this.#requests.head(name, signal);
      return { name, sizeBytes, modifiedAt: modifiedAt ?? new Date(0) };
    } catch (error) {
      if (isErrorKind(error, 'not-found')) return null;
      throw error;
    }
  }

  /** From there on to the end; the next piece is on its way while one is used. */
  async *read(
    { name, sizeBytes }: Pick<FoundObject, 'name' | 'sizeBytes'>,
    fromBytes: number,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const readAt = async (offsetBytes: number): Promise<Buffer> => {
      const lengthBytes = Math.min(readBytes, sizeBytes - offsetBytes);
      if (lengthBytes <= 0) return Buffer.alloc(0);
      return await this.#requests.read(name, { offsetBytes, lengthBytes }, signal);
    };
    let next = readAt(fromBytes);
    try {
      for (let at = fromBytes; at < sizeBytes; ) {
        const piece = await next;
        at += piece.byteLength;
        next = readAt(at);
        yield piece;
      }
    } finally {
      // Whoever stops early has no use for its failure.
      next.catch(() => undefined);
    }
  }

  /** Replaces what has the name. Durable when it answers. @throws storage-full, … */
  async write(
    name: string,
    file: { readonly sizeBytes: number; readonly bytes: AsyncIterable<Uint8Array> },
    signal: AbortSignal,
  ): Promise<void> {
    const requests = this.#requests;
    await requests.delete(name, signal);
    const writer = new S3Writer(
      {
        requests,
        slots: new Slots(partsInFlightMax),
        putOnce: (...object) => requests.put(...object),
        partBytes: Math.max(partBytes, Math.ceil(file.sizeBytes / partsMax)),
      },
      name,
      signal,
    );
    let doneBytes = 0;
    try {
      for await (const bytes of file.bytes) {
        doneBytes += bytes.byteLength;
        await writer.write(bytes);
      }
      if (doneBytes !== file.sizeBytes) {
        throw new CairnError('bug', `${name} has ${doneBytes} bytes, not ${file.sizeBytes}`);
      }
    } catch (error) {
      await writer.abort().catch(() => undefined);
      throw error;
    }
    await writer.publish();
  }

  /** Harmless when there is none. @throws storage-unavailable */
  async delete(name: string, signal: AbortSignal): Promise<void> {
    await this.#requests.delete(name, signal);
  }

  /** Complete, or it throws. */
  async *list(prefix: string, signal: AbortSignal): AsyncIterable<FoundObject> {
    yield* this.#requests.list(prefix, signal);
  }

  /** The names of uploads that have begun and not ended. @throws storage-unavailable */
  async listUnfinished(prefix: string, signal: AbortSignal): Promise<readonly string[]> {
    return [...new Set((await this.#uploads(prefix, signal)).map(({ name }) => name))];
  }

  /** Forgets them, whoever has begun them. @throws storage-unavailable */
  async abortUnfinished(prefix: string, signal: AbortSignal): Promise<void> {
    for (const upload of await this.#uploads(prefix, signal)) {
      await abortUpload(this.#requests, upload);
    }
  }

  /**
   * Those of the profile. Null: it has none, they are made anew every so often, or they are those
   * that the service itself uses.
   */
  async findOwnKeys(): Promise<StaticKeys | null> {
    if (this.#profile === null) return null;
    const { connection, address, clock } = this.#requests.parts;
    const own = await keysOf(connection);
    if (own === null || own.sessionToken !== undefined || own.expiration !== undefined) return null;
    // Which of several sources counts is the SDK's choice, and has changed before.
    const usual = await keysOf(await createS3Client(address, clock));
    if (usual?.accessKeyId === own.accessKeyId) return null;
    return { accessKeyId: own.accessKeyId, secretKey: new Secret(own.secretAccessKey) };
  }

  async #uploads(prefix: string, signal: AbortSignal): Promise<readonly Unfinished[]> {
    const found: Unfinished[] = [];
    const { address } = this.#requests.parts;
    let page: ListMultipartUploadsCommandOutput | null = null;
    do {
      page = await this.#uploadPage(prefix, page, signal);
      for (const { Key = '', UploadId = '' } of page.Uploads ?? []) {
        if (!Key.startsWith(`${address.prefix}${prefix}`)) continue;
        found.push({ name: Key.slice(address.prefix.length), uploadId: UploadId });
      }
    } while (page.IsTruncated);
    return found;
  }

  async #uploadPage(
    prefix: string,
    last: ListMultipartUploadsCommandOutput | null,
    signal: AbortSignal,
  ): Promise<ListMultipartUploadsCommandOutput> {
    const { address, connection } = this.#requests.parts;
    const request = { what: 'list uploads', sizeBytes: 0, signal };
    return await this.#requests.attempt(request, async (abortSignal) => {
      const page = await connection.client.send(
        new ListMultipartUploadsCommand({
          Bucket: address.bucket,
          Prefix: `${address.prefix}${prefix}`,
          ...(last?.NextKeyMarker ? { KeyMarker: last.NextKeyMarker } : {}),
          ...(last?.NextUploadIdMarker ? { UploadIdMarker: last.NextUploadIdMarker } : {}),
        }),
        { abortSignal },
      );
      const isStuck =
        page.IsTruncated === true &&
        page.NextKeyMarker === last?.NextKeyMarker &&
        page.NextUploadIdMarker === last?.NextUploadIdMarker;
      if (isStuck) throw new S3Refusal('other', 'a listing of uploads that does not go on');
      return page;
    });
  }
}

async function keysOf({ client }: S3Connection) {
  return await client.config.credentials().catch(() => null);
}
