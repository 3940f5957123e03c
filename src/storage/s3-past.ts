// A bucket that keeps versions, as it was at a moment, to be read only: the way back when objects
// were overwritten or deleted by somebody else. Of each name the version counts that was the latest
// then, by the store's clock.
import { CairnError } from '../model/errors.ts';
import { assertObjectName } from './object-name.ts';
import type { S3Requests } from './s3-requests.ts';
import { listVersions } from './s3-versions.ts';
import type { ByteRange, ObjectInfo, ObjectVersion, ObjectWriter, Storage } from './storage.ts';

const rememberedMax = 100_000;

export class S3Past implements Storage {
  readonly location: string;
  readonly #requests: S3Requests;
  readonly #at: Date;
  /** The past does not change. */
  readonly #known = new Map<string, ObjectVersion>();

  constructor(requests: S3Requests, at: Date) {
    this.#requests = requests;
    this.#at = at;
    this.location = `${requests.parts.location} as of ${at.toISOString()}`;
  }

  async openWriter(): Promise<ObjectWriter> {
    throw this.#readOnly();
  }

  async flush(_names: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
  }

  async createExclusive(): Promise<'created' | 'exists'> {
    throw this.#readOnly();
  }

  async delete(): Promise<void> {
    throw this.#readOnly();
  }

  async read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer> {
    const version = await this.#find(name, signal);
    if (range && !isInside(range, version)) {
      throw new CairnError('repository-damaged', `object ${name} is shorter than it should be`);
    }
    if (range?.lengthBytes === 0) return Buffer.allocUnsafeSlow(0);
    return await this.#requests.read(name, range, signal, version.versionId);
  }

  async stat(name: string, signal: AbortSignal): Promise<ObjectInfo> {
    const { sizeBytes } = await this.#find(name, signal);
    return { name, sizeBytes };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    for (const version of await this.#latestOf(prefix, signal)) {
      const { name, sizeBytes, isDeletion } = version;
      if (isDeletion || name.startsWith('tmp/') || name.endsWith('/')) continue;
      this.#remember(version);
      yield { name, sizeBytes };
    }
  }

  async #find(name: string, signal: AbortSignal): Promise<ObjectVersion> {
    signal.throwIfAborted();
    assertObjectName(name);
    const known = this.#known.get(name);
    if (known) return known;
    const found = (await this.#latestOf(name, signal)).find((version) => version.name === name);
    if (!found || found.isDeletion) {
      throw new CairnError('not-found', `there is no ${name} in ${this.location}`);
    }
    this.#remember(found);
    return found;
  }

  #remember(version: ObjectVersion): void {
    if (this.#known.size >= rememberedMax) this.#known.clear();
    this.#known.set(version.name, version);
  }

  /** Of each name what was the latest then. */
  async #latestOf(prefix: string, signal: AbortSignal): Promise<ObjectVersion[]> {
    const all: ObjectVersion[] = [];
    for await (const version of listVersions(this.#requests, prefix, signal)) all.push(version);
    return planPast(all, this.#at);
  }

  #readOnly(): CairnError {
    return new CairnError('invalid', `${this.location} can only be read`, {
      hint: 'copy it to another place with cairn storage copy, or take at=… out of the location',
    });
  }
}

/** Of versions of one second the latest, else the first: stores list the newest first. */
export function planPast(versions: Iterable<ObjectVersion>, at: Date): ObjectVersion[] {
  const latest = new Map<string, ObjectVersion>();
  for (const version of versions) {
    if (version.storedAt > at) continue;
    const other = latest.get(version.name);
    const isNewer = !other || version.storedAt > other.storedAt;
    const isSame = other && version.storedAt.getTime() === other.storedAt.getTime();
    if (isNewer || (isSame && version.isLatest)) latest.set(version.name, version);
  }
  return [...latest.values()];
}

function isInside({ offsetBytes, lengthBytes }: ByteRange, { sizeBytes }: ObjectVersion): boolean {
  return offsetBytes >= 0 && offsetBytes + lengthBytes <= sizeBytes;
}
