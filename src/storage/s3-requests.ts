// One function per S3 request, each tried again with a deadline (`s3-retry.ts`) and each looking at
// what came back: lengths, continuation tokens, that a listing is one. Names here are names of
// objects below the prefix. What fails is a `CairnError` that says what to do.
import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';
import type { GetObjectCommandOutput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { isErrorKind } from '../model/errors.ts';
import type { S3Connection } from './s3-client.ts';
import { classifyFailure, S3Refusal, toS3Error } from './s3-failure.ts';
import type { RetryParts } from './s3-retry.ts';
import { retrying } from './s3-retry.ts';
import type { ByteRange } from './storage.ts';
import type { S3Address } from './storage-url.ts';

/** What stores give at most. */
const pageMax = 1_000;
/** A prefix that no object has. */
const nowhere = 'tmp/nothing';

export type FoundObject = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
};

/** `refused`: the store does not know the condition. */
export type CreateOutcome = 'created' | 'exists' | 'refused';

export type S3RequestParts = RetryParts & {
  readonly connection: S3Connection;
  readonly address: S3Address;
  readonly location: string;
};

export class S3Requests {
  readonly parts: S3RequestParts;

  constructor(parts: S3RequestParts) {
    this.parts = parts;
  }

  /** Bucket and key of an object, as every request names it. */
  at(name: string): { readonly Bucket: string; readonly Key: string } {
    const { bucket, prefix } = this.parts.address;
    return { Bucket: bucket, Key: `${prefix}${name}` };
  }

  /** Runs one request of the SDK until its deadline. @throws CairnError, or the signal's reason */
  async attempt<T>(
    request: { readonly what: string; readonly sizeBytes: number; readonly signal: AbortSignal },
    work: (signal: AbortSignal, attempt: number) => Promise<T>,
  ): Promise<T> {
    try {
      return await retrying(this.parts, request, work);
    } catch (error) {
      if (request.signal.aborted && error === request.signal.reason) throw error;
      const { location, connection } = this.parts;
      throw toS3Error(error, request.what, { location, skewMs: connection.skewMs() });
    }
  }

  /** Writes the object whatever is there. */
  async put(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { client } = this.parts.connection;
    const request = { what: `write ${name}`, sizeBytes: bytes.byteLength, signal };
    await this.attempt(request, async (abortSignal) => {
      await client.send(this.#putCommand(name, bytes), { abortSignal });
    });
  }

  /**
   * Writes the object if the store finds none of the name. An attempt that failed may have written
   * it all the same, so the next one's "it exists" is compared with the content: bytes must be the
   * caller's own, as anything random in them makes sure.
   */
  async putIfAbsent(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<CreateOutcome> {
    const { client } = this.parts.connection;
    const request = { what: `create ${name}`, sizeBytes: bytes.byteLength, signal };
    let mayBeOurs = false;
    const outcome = await this.attempt(request, async (abortSignal) => {
      try {
        await client.send(this.#putCommand(name, bytes, '*'), { abortSignal });
        return 'created';
      } catch (error) {
        const failure = classifyFailure(error);
        if (failure === 'taken') return 'exists';
        if (failure === 'not-implemented') return 'refused';
        mayBeOurs = true;
        throw error;
      }
    });
    if (outcome !== 'exists' || !mayBeOurs) return outcome;
    const found = await this.read(name, null, signal);
    return found.equals(bytes) ? 'created' : 'exists';
  }

  /**
   * The latest version, or the one named. @throws not-found, repository-damaged when the range
   * reaches past the end
   */
  async read(
    name: string,
    range: ByteRange | null,
    signal: AbortSignal,
    versionId?: string,
  ): Promise<Buffer> {
    const { client } = this.parts.connection;
    const sizeBytes = range?.lengthBytes ?? 0;
    return await this.attempt({ what: `read ${name}`, sizeBytes, signal }, async (abortSignal) => {
      const command = new GetObjectCommand({
        ...this.at(name),
        ...(range ? { Range: formatRange(range) } : {}),
        ...(versionId === undefined ? {} : { VersionId: versionId }),
      });
      const answer = await client
        .send(command, { abortSignal })
        .catch((error: unknown) => this.#confirmAbsence(error, abortSignal));
      return await collect(answer, range, abortSignal);
    });
  }

  /** @throws not-found */
  async head(
    name: string,
    signal: AbortSignal,
  ): Promise<{
    readonly sizeBytes: number;
    readonly etag: string;
    readonly modifiedAt: Date | null;
  }> {
    const { client } = this.parts.connection;
    return await this.attempt(
      { what: `stat ${name}`, sizeBytes: 0, signal },
      async (abortSignal) => {
        const answer = await client
          .send(new HeadObjectCommand(this.at(name)), { abortSignal })
          .catch((error: unknown) => this.#confirmAbsence(error, abortSignal));
        const { ContentLength: sizeBytes, ETag: etag, LastModified: modifiedAt = null } = answer;
        if (sizeBytes === undefined || etag === undefined) {
          throw new S3Refusal('other', 'an object without a length or an ETag');
        }
        return { sizeBytes, etag: etag.replaceAll('"', ''), modifiedAt };
      },
    );
  }

  async isPresent(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.head(name, signal);
      return true;
    } catch (error) {
      if (isErrorKind(error, 'not-found')) return false;
      throw error;
    }
  }

  /** Complete, or it throws: a page that fails, repeats or is no listing is an error. */
  async *list(prefix: string, signal: AbortSignal): AsyncIterable<FoundObject> {
    const seen = new Set<string>();
    let token: string | null = null;
    do {
      const page: ListObjectsV2CommandOutput = await this.#listPage(prefix, token, signal);
      for (const object of page.Contents ?? []) yield this.#toFound(object, prefix);
      token = page.IsTruncated ? (page.NextContinuationToken ?? null) : null;
      if (token !== null && seen.has(token)) throw this.#noListing(prefix, 'it goes in a circle');
      if (token !== null) seen.add(token);
    } while (token !== null);
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    const { client } = this.parts.connection;
    await this.attempt({ what: `delete ${name}`, sizeBytes: 0, signal }, async (abortSignal) => {
      try {
        await client.send(new DeleteObjectCommand(this.at(name)), { abortSignal });
      } catch (error) {
        // Some stores say 404 where Amazon says 204.
        if (classifyFailure(error) !== 'no-object') throw error;
      }
    });
  }

  /**
   * By a listing, whose refusal says why; that of HEAD has no body.
   * @throws storage-unavailable: no such bucket, no access to it, no store there
   */
  async assertBucket(signal: AbortSignal): Promise<void> {
    await this.#listPage(nowhere, null, signal);
  }

  #putCommand(name: string, bytes: Uint8Array, condition?: '*'): PutObjectCommand {
    return new PutObjectCommand({
      ...this.at(name),
      Body: bytes,
      ContentLength: bytes.byteLength,
      ContentMD5: md5Of(bytes),
      ...(condition === undefined ? {} : { IfNoneMatch: condition }),
    });
  }

  /**
   * Answers to HEAD have no body, so a missing bucket looks like a missing object, and so does
   * whatever is no S3 store at all: unknown is not absent.
   */
  async #confirmAbsence(error: unknown, abortSignal: AbortSignal): Promise<never> {
    if (classifyFailure(error) !== 'no-object') throw error;
    if (nameOf(error) !== 'NoSuchKey') await this.#headBucket(abortSignal);
    throw new S3Refusal('absent', 'no such object');
  }

  async #headBucket(abortSignal: AbortSignal): Promise<void> {
    const { connection, address } = this.parts;
    try {
      await connection.client.send(new HeadBucketCommand({ Bucket: address.bucket }), {
        abortSignal,
      });
    } catch (error) {
      if (classifyFailure(error) !== 'no-object') throw error;
      throw new S3Refusal('no-bucket', `no bucket ${address.bucket}`);
    }
  }

  async #listPage(
    prefix: string,
    token: string | null,
    signal: AbortSignal,
  ): Promise<ListObjectsV2CommandOutput> {
    const { connection, address } = this.parts;
    const what = prefix === nowhere ? 'open the bucket' : `list ${prefix || 'everything'}`;
    return await this.attempt({ what, sizeBytes: 0, signal }, async (abortSignal) => {
      const command = new ListObjectsV2Command({
        Bucket: address.bucket,
        Prefix: `${address.prefix}${prefix}`,
        MaxKeys: pageMax,
        ...(token === null ? {} : { ContinuationToken: token }),
      });
      const page = await connection.client.send(command, { abortSignal });
      // An answer of 200 that is no listing has no objects either.
      if (page.IsTruncated === undefined || page.Name !== address.bucket) {
        throw new S3Refusal('other', 'the answer is no listing of the bucket');
      }
      if (page.IsTruncated && !page.NextContinuationToken) {
        throw new S3Refusal('other', 'a listing that goes on does not say where');
      }
      return page;
    });
  }

  #toFound(
    object: {
      Key?: string | undefined;
      Size?: number | undefined;
      LastModified?: Date | undefined;
    },
    prefix: string,
  ): FoundObject {
    const { Key: key, Size: sizeBytes, LastModified: modifiedAt } = object;
    const { address } = this.parts;
    if (!key?.startsWith(`${address.prefix}${prefix}`) || sizeBytes === undefined || !modifiedAt) {
      throw this.#noListing(prefix, 'it holds what was not asked for');
    }
    return { name: key.slice(address.prefix.length), sizeBytes, modifiedAt };
  }

  #noListing(prefix: string, text: string): Error {
    const { location, connection } = this.parts;
    const where = { location, skewMs: connection.skewMs() };
    return toS3Error(new S3Refusal('other', text), `list ${prefix}`, where);
  }
}

/** For `Content-MD5`, which every store compares; RFC 1864. */
export function md5Of(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64');
}

function formatRange({ offsetBytes, lengthBytes }: ByteRange): string {
  return `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}`;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** Exactly the bytes that were asked for, in memory of their own. */
async function collect(
  answer: GetObjectCommandOutput,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Buffer> {
  const body = addAbortSignal(signal, answer.Body as Readable);
  try {
    const lengthBytes = lengthOf(answer, range);
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    let doneBytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (doneBytes + chunk.byteLength > lengthBytes) break;
      doneBytes += chunk.copy(bytes, doneBytes);
    }
    if (doneBytes !== lengthBytes) throw new S3Refusal('cut-short', `${doneBytes} bytes came`);
    return bytes;
  } finally {
    body.destroy();
  }
}

function lengthOf(answer: GetObjectCommandOutput, range: ByteRange | null): number {
  const { ContentLength: lengthBytes, ContentRange: contentRange } = answer;
  // Any web server answers 200, but only stores say which version they send.
  if (lengthBytes === undefined || answer.ETag === undefined) {
    throw new S3Refusal('other', 'an object without a length or an ETag');
  }
  if (!range || lengthBytes === range.lengthBytes) return lengthBytes;
  const sizeBytes = Number(/\/(\d+)$/.exec(contentRange ?? '')?.[1]);
  const endBytes = range.offsetBytes + range.lengthBytes;
  if (sizeBytes < endBytes) throw new S3Refusal('range', `the object has ${sizeBytes} bytes`);
  throw new S3Refusal('other', `asked for ${range.lengthBytes} bytes, offered ${lengthBytes}`);
}
