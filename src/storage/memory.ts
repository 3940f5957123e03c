// Storage in memory: for tests, and the reference for what the contract suite asks.
import { CairnError } from '../model/errors.ts';
import { assertObjectName } from './object-name.ts';
import type { ByteRange, ObjectInfo, ObjectWriter, Storage } from './storage.ts';

export class MemoryStorage implements Storage {
  readonly location: string = 'memory:';
  /** Open to tests, which damage and remove objects here. */
  readonly objects = new Map<string, Buffer>();

  async openWriter(name: string, signal: AbortSignal): Promise<ObjectWriter> {
    assertObjectName(name);
    const pieces: Uint8Array[] = [];
    return {
      write: async (bytes) => {
        signal.throwIfAborted();
        pieces.push(bytes);
      },
      publish: async () => {
        signal.throwIfAborted();
        if (this.objects.has(name)) throw new CairnError('conflict', `object ${name} exists`);
        this.objects.set(name, Buffer.concat(pieces));
      },
      abort: async () => {
        pieces.length = 0;
      },
    };
  }

  async flush(names: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const name of names) this.#get(name);
  }

  async createExclusive(
    name: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    signal.throwIfAborted();
    assertObjectName(name);
    if (this.objects.has(name)) return 'exists';
    this.objects.set(name, Buffer.from(bytes));
    return 'created';
  }

  async read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    const bytes = this.#get(name);
    if (!range) return ownCopy(bytes);
    const end = range.offsetBytes + range.lengthBytes;
    if (range.offsetBytes < 0 || end > bytes.byteLength) {
      throw new CairnError('repository-damaged', `object ${name} is shorter than it should be`);
    }
    return ownCopy(bytes.subarray(range.offsetBytes, end));
  }

  async stat(name: string, signal: AbortSignal): Promise<ObjectInfo> {
    signal.throwIfAborted();
    return { name, sizeBytes: this.#get(name).byteLength };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    signal.throwIfAborted();
    for (const [name, bytes] of [...this.objects]) {
      if (name.startsWith(prefix)) yield { name, sizeBytes: bytes.byteLength };
    }
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    assertObjectName(name);
    this.objects.delete(name);
  }

  #get(name: string): Buffer {
    assertObjectName(name);
    const bytes = this.objects.get(name);
    if (!bytes) throw new CairnError('not-found', `no object ${name}`);
    return bytes;
  }
}

/** Not `Buffer.from`, which cuts small buffers out of a shared pool. */
function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength);
  bytes.copy(copy);
  return copy;
}
