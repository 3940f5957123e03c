import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CairnError } from '../model/errors.ts';
import { systemClock } from '../platform/clock.ts';
import { systemRandom } from '../platform/random.ts';
import { MemoryStorage } from './memory.ts';
import type { Storage } from './storage.ts';
import { tryStorage } from './storage-check.ts';

const signal = new AbortController().signal;

async function failedChecks(open: () => Promise<Storage>): Promise<string[]> {
  const found = await tryStorage({ open, clock: systemClock, random: systemRandom, signal });
  return found.filter(({ verdict }) => verdict === 'failed').map(({ check }) => check);
}

describe('the check of a storage', () => {
  it('finds nothing wrong with a good one and leaves nothing behind', async () => {
    const storage = new MemoryStorage();
    assert.deepEqual(await failedChecks(async () => storage), []);
    assert.equal(storage.objects.size, 0);
  });

  it('finds one that lies', async () => {
    const overwriting = new MemoryStorage();
    overwriting.openWriter = async (name) => ({
      write: async (bytes) => void overwriting.objects.set(name, Buffer.from(bytes)),
      publish: async () => undefined,
      abort: async () => undefined,
    });
    const forgetful = new MemoryStorage();
    forgetful.list = async function* (prefix) {
      const all = [...forgetful.objects].filter(([name]) => name.startsWith(prefix));
      for (const [name, bytes] of all.slice(1)) yield { name, sizeBytes: bytes.byteLength };
    };
    const generous = new MemoryStorage();
    generous.createExclusive = async (name, bytes) => {
      generous.objects.set(name, Buffer.from(bytes));
      return 'created';
    };
    const altering = new MemoryStorage();
    altering.read = async (name, range) => {
      const bytes = await MemoryStorage.prototype.read.call(altering, name, range, signal);
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return bytes;
    };
    const cases: readonly [Storage, readonly string[]][] = [
      [overwriting, ['never overwrite']],
      [forgetful, ['list again']],
      [generous, ['create once']],
      [altering, ['read', 'read a range', 'large object', 'never overwrite', 'create once']],
    ];
    for (const [storage, checks] of cases) {
      assert.deepEqual(await failedChecks(async () => storage), checks);
    }
  });

  it('stops at what makes the rest pointless, and says what to do', async () => {
    const open = async (): Promise<Storage> => {
      throw new CairnError('storage-unavailable', 'no such volume', { hint: 'mount it' });
    };
    const found = await tryStorage({ open, clock: systemClock, random: systemRandom, signal });
    const failed = { verdict: 'failed', text: 'no such volume', hint: 'mount it' };
    assert.deepEqual(found, [{ check: 'open', ...failed }]);
    const readOnly = new MemoryStorage();
    readOnly.openWriter = async () => {
      throw new CairnError('storage-unavailable', 'access denied');
    };
    assert.deepEqual(await failedChecks(async () => readOnly), ['write']);
  });
});
