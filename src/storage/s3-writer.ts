// One object on its way to the store: what fits into one part goes as a single PUT, more as a
// multipart upload whose parts are sent while the next one fills. Memory is bounded by the slots
// that all writers share. Nothing is visible before `publish`.
//
// What the store answers to CompleteMultipartUpload proves nothing (Ceph's has no ETag, an answer
// of 200 may hold an error), so the object is looked at afterwards.
import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { classifyFailure, S3Refusal } from './s3-failure.ts';
import type { S3Requests } from './s3-requests.ts';
import { md5Of } from './s3-requests.ts';
import type { Slots } from './slots.ts';
import type { ObjectWriter } from './storage.ts';

/** Amazon S3 User Guide, "Multipart upload limits": from 5 MiB, the same for all but the last. */
export const partBytes = 8 * 1024 * 1024;
export const partsMax = 10_000;
/** Not worth more: what is not aborted now is found by a later sweep. */
const abortTimeoutMs = 3_000;

export type WriterParts = {
  readonly requests: S3Requests;
  readonly slots: Slots;
  /** A whole small object under a name that must be free. @throws conflict */
  readonly putOnce: (name: string, bytes: Buffer, signal: AbortSignal) => Promise<void>;
  /** Larger than usual, where the parts of a large object would be too many. */
  readonly partBytes?: number;
};

type SentPart = CompletedPart & { readonly md5: Buffer };

export class S3Writer implements ObjectWriter {
  readonly #parts: WriterParts;
  readonly #name: string;
  readonly #signal: AbortSignal;
  #pieces: Uint8Array[] = [];
  #pendingBytes = 0;
  #totalBytes = 0;
  #uploadId: string | null = null;
  readonly #sending: Promise<SentPart>[] = [];
  #isFailed = false;
  #isEnded = false;

  constructor(parts: WriterParts, name: string, signal: AbortSignal) {
    this.#parts = parts;
    this.#name = name;
    this.#signal = signal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    this.#pieces.push(bytes);
    this.#pendingBytes += bytes.byteLength;
    this.#totalBytes += bytes.byteLength;
    const size = this.#parts.partBytes ?? partBytes;
    if (this.#pendingBytes <= size) return;
    const pending = this.#takePending();
    let at = 0;
    for (; pending.byteLength - at > size; at += size) {
      await this.#send(pending.subarray(at, at + size));
    }
    this.#pieces = [pending.subarray(at)];
    this.#pendingBytes = pending.byteLength - at;
  }

  async publish(): Promise<void> {
    this.#signal.throwIfAborted();
    try {
      if (this.#uploadId === null) {
        await this.#parts.putOnce(this.#name, this.#takePending(), this.#signal);
      } else {
        await this.#send(this.#takePending());
        await this.#complete(this.#uploadId, await Promise.all(this.#sending));
      }
      this.#isEnded = true;
    } catch (error) {
      await this.abort().catch(() => undefined);
      throw error;
    }
  }

  /** Also when the job was cancelled: unfinished uploads cost money and show up nowhere. */
  async abort(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#pieces = [];
    await Promise.allSettled(this.#sending);
    if (this.#uploadId !== null) {
      await abortUpload(this.#parts.requests, { name: this.#name, uploadId: this.#uploadId });
    }
  }

  #takePending(): Buffer {
    const pending = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#pendingBytes = 0;
    return pending;
  }

  /** Answers when the part has a slot; its failure is thrown by a later call. */
  async #send(bytes: Buffer): Promise<void> {
    if (this.#isFailed) await Promise.all(this.#sending);
    if (this.#sending.length >= partsMax) {
      throw new CairnError('bug', `object ${this.#name} has more than ${partsMax} parts`);
    }
    this.#uploadId ??= await this.#begin();
    const giveBack = await this.#parts.slots.take(this.#signal);
    const sent = this.#upload(this.#uploadId, this.#sending.length + 1, bytes).finally(giveBack);
    sent.catch(() => {
      this.#isFailed = true;
    });
    this.#sending.push(sent);
  }

  async #begin(): Promise<string> {
    const { requests } = this.#parts;
    const { client } = requests.parts.connection;
    const request = { what: `begin ${this.#name}`, sizeBytes: 0, signal: this.#signal };
    return await requests.attempt(request, async (abortSignal) => {
      const command = new CreateMultipartUploadCommand(requests.at(this.#name));
      const { UploadId } = await client.send(command, { abortSignal });
      if (UploadId) return UploadId;
      throw new S3Refusal('other', 'an upload without an id');
    });
  }

  async #upload(uploadId: string, number: number, bytes: Buffer): Promise<SentPart> {
    const { requests } = this.#parts;
    const { client } = requests.parts.connection;
    const what = `write part ${number} of ${this.#name}`;
    const sizeBytes = bytes.byteLength;
    const md5 = md5Of(bytes);
    return await requests.attempt(
      { what, sizeBytes, signal: this.#signal },
      async (abortSignal) => {
        const command = new UploadPartCommand({
          ...requests.at(this.#name),
          ...{ UploadId: uploadId, PartNumber: number, Body: bytes },
          ...{ ContentLength: sizeBytes, ContentMD5: md5 },
        });
        const { ETag } = await client.send(command, { abortSignal });
        if (!ETag) throw new S3Refusal('other', 'a part without an ETag');
        return { PartNumber: number, ETag, md5: Buffer.from(md5, 'base64') };
      },
    );
  }

  async #complete(uploadId: string, parts: readonly SentPart[]): Promise<void> {
    const { requests } = this.#parts;
    const { client } = requests.parts.connection;
    const request = { what: `publish ${this.#name}`, sizeBytes: 0, signal: this.#signal };
    // Not even Amazon's condition on this request is kept by all: Ceph ignores it.
    if (await requests.isPresent(this.#name, this.#signal)) {
      throw new CairnError('conflict', `cannot publish ${this.#name}: it exists`);
    }
    await requests.attempt(request, async (abortSignal, attempt) => {
      const MultipartUpload = {
        Parts: parts.map(({ ETag, PartNumber }) => ({ ETag, PartNumber })),
      };
      const target = { ...requests.at(this.#name), UploadId: uploadId, MultipartUpload };
      try {
        await client.send(new CompleteMultipartUploadCommand(target), { abortSignal });
      } catch (error) {
        // An earlier attempt, whose answer was lost, has done it. What is there is looked at next.
        if (attempt === 1 || classifyFailure(error) !== 'no-upload') throw error;
      }
    });
    await this.#verify(planEtag(parts));
  }

  async #verify(expectedEtag: string | null): Promise<void> {
    const found = await this.#parts.requests
      .head(this.#name, this.#signal)
      .catch((error: unknown) => {
        if (!isErrorKind(error, 'not-found')) throw error;
        return null;
      });
    const isOurs = expectedEtag === null || found?.etag === expectedEtag;
    if (found?.sizeBytes === this.#totalBytes && isOurs) return;
    const text = `the store said that ${this.#name} is complete, but it is not what was sent`;
    throw new CairnError('storage-unavailable', text, {
      hint: 'the store lost or altered an upload: look at its log before you trust it',
      details: { sizeBytes: found?.sizeBytes ?? null, sentBytes: this.#totalBytes },
    });
  }
}

/**
 * The ETag of the whole where ETags of parts are MD5 sums: the sum of their sums, and their count.
 * Null where they are something else, as with encryption by the store's keys.
 */
export function planEtag(
  parts: readonly { ETag?: string | undefined; md5: Buffer }[],
): string | null {
  const isPlain = parts.every(({ ETag, md5 }) => ETag?.replaceAll('"', '') === md5.toString('hex'));
  if (!isPlain) return null;
  const whole = createHash('md5');
  for (const { md5 } of parts) whole.update(md5);
  return `${whole.digest('hex')}-${parts.length}`;
}

/** Forgets an upload; one that is gone already is no error. */
export async function abortUpload(
  requests: S3Requests,
  upload: { readonly name: string; readonly uploadId: string },
): Promise<void> {
  const { client } = requests.parts.connection;
  const signal = AbortSignal.timeout(abortTimeoutMs);
  const request = { what: `abort ${upload.name}`, sizeBytes: 0, signal };
  await requests.attempt(request, async (abortSignal) => {
    const target = { ...requests.at(upload.name), UploadId: upload.uploadId };
    try {
      await client.send(new AbortMultipartUploadCommand(target), { abortSignal });
    } catch (error) {
      const failure = classifyFailure(error);
      if (failure !== 'no-upload' && failure !== 'no-object') throw error;
    }
  });
}
