// Storage that misbehaves on purpose, once, at the call that a plan names.
import { CairnError } from '../../src/model/errors.ts';
import type { ByteRange, ObjectInfo, ObjectWriter, Storage } from '../../src/storage/storage.ts';

export const faultMethods = [
  ...['openWriter', 'write', 'publish', 'flush', 'createExclusive', 'read', 'stat', 'list'],
  'delete',
] as const;
export type FaultMethod = (typeof faultMethods)[number];

export const faultKinds = ['error', 'delay', 'short', 'lost-answer', 'late', 'crash'] as const;
/**
 * `error`: nothing happens. `delay`: it takes a while. `short`: fewer bytes, or a listing that
 * breaks off with an error. `lost-answer`: it happens, and an error is thrown. `late`: an error is
 * thrown, and it happens afterwards. `crash`: from this call on nothing happens any more.
 */
export type FaultKind = (typeof faultKinds)[number];

/** `call`: at the how many-th call of the method, from 0. */
export type Fault = {
  readonly method: FaultMethod;
  readonly call: number;
  readonly kind: FaultKind;
};

const delayMs = 3;
const away = (): CairnError => new CairnError('storage-unavailable', 'planned fault');

export class FaultyStorage implements Storage {
  readonly location = 'memory:';
  readonly #inner: Storage;
  #fault: Fault | null = null;
  #calls = 0;
  #hasFired = false;
  #isDead = false;
  #late: Array<() => Promise<unknown>> = [];

  constructor(inner: Storage) {
    this.#inner = inner;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get hasFired(): boolean {
    return this.#hasFired;
  }

  arm(fault: Fault | null): void {
    this.#fault = fault;
    this.#calls = 0;
    this.#hasFired = false;
  }

  /** Does what a store still does after its caller has given up. */
  async disarm(): Promise<void> {
    this.#fault = null;
    const late = this.#late;
    this.#late = [];
    for (const work of late) await work().catch(() => undefined);
  }

  async openWriter(name: string, signal: AbortSignal): Promise<ObjectWriter> {
    const writer = await this.#call('openWriter', () => this.#inner.openWriter(name, signal));
    return {
      write: (bytes) => this.#call('write', () => writer.write(bytes)),
      publish: () => this.#call('publish', () => writer.publish()),
      // What happens late is what was asked for: the whole object, or nothing.
      abort: async () => {
        if (this.#late.length === 0) await writer.abort();
      },
    };
  }

  flush(names: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#call('flush', () => this.#inner.flush(names, signal));
  }

  createExclusive(
    name: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    return this.#call('createExclusive', () => this.#inner.createExclusive(name, bytes, signal));
  }

  async read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer> {
    const isShort = this.#fault?.kind === 'short';
    const firedBefore = this.#hasFired;
    const bytes = await this.#call('read', () => this.#inner.read(name, range, signal));
    if (!isShort || firedBefore || !this.#hasFired) return bytes;
    const part = Buffer.allocUnsafeSlow(Math.floor(bytes.byteLength / 2));
    bytes.copy(part);
    return part;
  }

  stat(name: string, signal: AbortSignal): Promise<ObjectInfo> {
    return this.#call('stat', () => this.#inner.stat(name, signal));
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    const breaksOff = this.#fault?.kind === 'short' && !this.#hasFired;
    const found = await this.#call('list', () => Array.fromAsync(this.#inner.list(prefix, signal)));
    if (!breaksOff || !this.#hasFired) return yield* found;
    yield* found.slice(0, Math.floor(found.length / 2));
    throw away();
  }

  delete(name: string, signal: AbortSignal): Promise<void> {
    return this.#call('delete', () => this.#inner.delete(name, signal));
  }

  async #call<T>(method: FaultMethod, work: () => Promise<T>): Promise<T> {
    if (this.#isDead) throw away();
    const fault = this.#fault;
    if (fault?.method !== method || this.#calls++ !== fault.call) return await work();
    this.#hasFired = true;
    switch (fault.kind) {
      case 'short':
        return await work();
      case 'delay':
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        return await work();
      case 'lost-answer':
        await work();
        throw away();
      case 'late':
        this.#late.push(work);
        throw away();
      case 'crash':
        this.#isDead = true;
        throw away();
      case 'error':
        throw away();
    }
  }
}
