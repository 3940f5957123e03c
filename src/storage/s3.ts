// An S3 bucket, or a part of one, as object storage. Requests and their retries are in
// `s3-requests.ts`, uploads in `s3-writer.ts`.
//
// Whether objects can be created conditionally is found out by trying (`s3-probe.ts`), once per
// process and hour: a bucket can get versioning, and lose the condition, at any time. Where the
// store cannot, `createExclusive` makes do with claims (`s3-claim.ts`).
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { untilAborted } from '../platform/deadline.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';
import { assertObjectName } from './object-name.ts';
import type { ClaimPace } from './s3-claim.ts';
import { createUnderClaim, usualPace } from './s3-claim.ts';
import { createS3Client } from './s3-client.ts';
import { S3Lock } from './s3-lock.ts';
import { presignDownload } from './s3-presign.ts';
import type { ConditionalCreate } from './s3-probe.ts';
import { probeConditionalCreate } from './s3-probe.ts';
import { assertCanLock, readProtection } from './s3-protection.ts';
import { S3Requests } from './s3-requests.ts';
import type { Patience } from './s3-retry.ts';
import { usualPatience } from './s3-retry.ts';
import { abortUpload, S3Writer } from './s3-writer.ts';
import { Slots } from './slots.ts';
import type {
  ByteRange,
  ObjectInfo,
  ObjectLock,
  ObjectWriter,
  Storage,
  StorageTraits,
} from './storage.ts';
import type { S3Address } from './storage-url.ts';

/** Of 8 MiB, over all writers of this process. */
const partsInFlightMax = 16;
const reservedFolder = 'tmp/';
const probeValidMs = 3_600_000;
const probeTimeoutMs = 120_000;
/** No job lives so long: an upload that old belongs to a dead process. */
const abandonedMs = 7 * 24 * 3_600_000;

export type S3StorageParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly patience?: Patience;
  readonly pace?: ClaimPace;
};

export class S3Storage implements Storage {
  readonly location: string;
  readonly requests: S3Requests;
  readonly lock?: ObjectLock;
  readonly #pace: ClaimPace;
  readonly #slots = new Slots(partsInFlightMax);
  #probe: { readonly answer: Promise<ConditionalCreate>; readonly atMs: number } | null = null;
  #sweeping: Promise<void> | null = null;

  private constructor(requests: S3Requests, pace: ClaimPace) {
    this.requests = requests;
    this.location = requests.parts.location;
    this.#pace = pace;
    const { lock } = requests.parts.address;
    if (lock !== null) this.lock = new S3Lock(requests, lock);
  }

  /** Connects to nothing yet. @throws invalid when the CA file cannot be read */
  static async open(address: S3Address, parts: S3StorageParts): Promise<S3Storage> {
    const { clock, random, log, patience = usualPatience, pace = usualPace } = parts;
    const connection = await createS3Client(address, clock);
    const where = address.endpoint === null ? '' : ` at ${address.endpoint}`;
    const location = `s3://${address.bucket}/${address.prefix}${where}`;
    const requests = new S3Requests({
      ...{ clock, random, log, patience, connection, address, location },
    });
    return new S3Storage(requests, pace);
  }

  async openWriter(name: string, signal: AbortSignal): Promise<ObjectWriter> {
    signal.throwIfAborted();
    assertName(name);
    this.#sweeping ??= this.#sweep(signal).catch(() => undefined);
    await this.#sweeping;
    const { requests } = this;
    const putOnce = (what: string, bytes: Buffer, until: AbortSignal): Promise<void> =>
      this.#putOnce(what, bytes, until);
    return new S3Writer({ requests, slots: this.#slots, putOnce }, name, signal);
  }

  /** The store had them when it answered. */
  async flush(_names: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
  }

  async createExclusive(
    name: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    signal.throwIfAborted();
    assertName(name);
    if ((await this.conditionalCreate(signal)) === 'atomic') {
      const outcome = await this.requests.putIfAbsent(name, bytes, signal);
      if (outcome !== 'refused') return outcome;
    }
    return await createUnderClaim(this.requests, { name, bytes, pace: this.#pace }, signal);
  }

  async read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    assertName(name);
    if (range && (range.offsetBytes < 0 || range.lengthBytes === 0)) {
      return await this.#readNothing(name, range, signal);
    }
    return await this.requests.read(name, range, signal);
  }

  async stat(name: string, signal: AbortSignal): Promise<ObjectInfo> {
    signal.throwIfAborted();
    assertName(name);
    const { sizeBytes } = await this.requests.head(name, signal);
    return { name, sizeBytes };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    signal.throwIfAborted();
    for await (const { name, sizeBytes } of this.requests.list(prefix, signal)) {
      // Consoles make "folders": empty objects whose name ends with a slash.
      if (!name.startsWith(reservedFolder) && !name.endsWith('/')) yield { name, sizeBytes };
    }
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    assertName(name);
    await this.requests.delete(name, signal);
  }

  /** What the store really does, tried within the last hour. @throws storage errors */
  async conditionalCreate(signal: AbortSignal): Promise<ConditionalCreate> {
    const { clock, random, log } = this.requests.parts;
    const nowMs = clock.monotonicMs();
    if (!this.#probe || nowMs - this.#probe.atMs >= probeValidMs) {
      // Its time is its own: who asked first may be cancelled while others wait for the answer.
      const limit = AbortSignal.timeout(probeTimeoutMs);
      const answer = probeConditionalCreate(this.requests, random, limit);
      const probe = { answer, atMs: nowMs };
      this.#probe = probe;
      answer.then(
        (found) => {
          if (found !== 'atomic') log.warn({ found, location: this.location }, degradedText);
        },
        () => {
          if (this.#probe === probe) this.#probe = null;
        },
      );
    }
    return await untilAborted(this.#probe.answer, signal);
  }

  /** @throws invalid also when the address asks for locks that the bucket cannot give */
  async examine(signal: AbortSignal): Promise<StorageTraits> {
    const { requests } = this;
    await requests.assertBucket(signal);
    const protection = await readProtection(requests, signal);
    if (this.lock) assertCanLock(protection, requests.parts.address.bucket);
    const conditionalCreate = await this.conditionalCreate(signal);
    return { conditionalCreate, skewMs: requests.parts.connection.skewMs(), protection };
  }

  async presignedDownload(name: string, lifetimeMs: number, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    assertName(name);
    return await presignDownload(this.requests, name, { lifetimeMs, signal });
  }

  /** A name that can be seen to be taken is refused: objects are written once. */
  async #putOnce(name: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const { requests } = this;
    if ((await this.conditionalCreate(signal)) === 'atomic') {
      const outcome = await requests.putIfAbsent(name, bytes, signal);
      if (outcome === 'exists') throw taken(name, this.location);
      if (outcome === 'created') return;
    }
    if (await requests.isPresent(name, signal)) throw taken(name, this.location);
    await requests.put(name, bytes, signal);
  }

  /** Such a range cannot be asked for over HTTP. */
  async #readNothing(name: string, range: ByteRange, signal: AbortSignal): Promise<Buffer> {
    const { sizeBytes } = await this.requests.head(name, signal);
    if (range.offsetBytes >= 0 && range.offsetBytes <= sizeBytes) return Buffer.allocUnsafeSlow(0);
    throw new CairnError('repository-damaged', `object ${name} is shorter than it should be`);
  }

  /** Uploads, probes and claims that processes left behind when they were killed. */
  async #sweep(signal: AbortSignal): Promise<void> {
    const { requests } = this;
    const { connection, address, clock } = requests.parts;
    const { bucket: Bucket, prefix: Prefix } = address;
    const request = { what: 'list uploads', sizeBytes: 0, signal };
    const { Uploads = [] } = await requests.attempt(request, (abortSignal) =>
      connection.client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }), { abortSignal }),
    );
    const nowMs = clock.now().getTime() + (connection.skewMs() ?? 0);
    const isAbandoned = (at: Date): boolean => nowMs - at.getTime() >= abandonedMs;
    for (const { Key = '', UploadId = '', Initiated } of Uploads) {
      if (!Initiated || !isAbandoned(Initiated)) continue;
      await abortUpload(requests, { name: Key.slice(Prefix.length), uploadId: UploadId });
    }
    for await (const { name, modifiedAt } of requests.list(reservedFolder, signal)) {
      if (isAbandoned(modifiedAt)) await requests.delete(name, signal);
    }
  }
}

export const degradedText =
  'this object store has no conditional create: give its repository to one Cairn only';

function assertName(name: string): void {
  assertObjectName(name);
  if (name.startsWith(reservedFolder)) throw new CairnError('bug', 'tmp is reserved');
}

function taken(name: string, location: string): CairnError {
  return new CairnError('conflict', `cannot publish ${name} in ${location}: it exists`);
}
