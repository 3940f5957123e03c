// Tries on a storage what Cairn will ask of it, and tells what it can and cannot do. Leaves nothing
// behind.

import type { Diagnosis } from '../model/diagnosis.ts';
import { CairnError, isErrorKind, toCairnError } from '../model/errors.ts';
import { formatBytes } from '../model/units.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { ObjectLock, Storage, StorageTraits } from './storage.ts';
import { describeProtection } from './storage-check-lock.ts';

type Step = {
  readonly check: string;
  /** Without it the others would only fail for the same reason. */
  readonly isVital?: boolean;
  readonly run: () => Promise<string>;
};

export type CheckParts = {
  readonly open: () => Promise<Storage>;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
};

const smallBytes = 8 * 1024;
/** Two parts of a multipart upload. */
const largeBytes = 9 * 1024 * 1024;
const racers = 4;
const skewWarningMs = 60_000;

/** One diagnosis for each thing that was tried. Throws only the signal's reason. */
export async function tryStorage(parts: CheckParts): Promise<readonly Diagnosis[]> {
  const { clock, random, signal } = parts;
  const diagnoses: Diagnosis[] = [];
  let storage: Storage | null = null;
  const opening = {
    check: 'open',
    run: async () => {
      storage = await parts.open();
      return storage.location;
    },
  };
  diagnoses.push(await diagnose(opening));
  // Assigned in the closure above, which the compiler does not follow.
  const opened = storage as Storage | null;
  if (!opened) return diagnoses;
  const folder = `check-${random.hex(8)}.`;
  try {
    for (const step of planSteps(opened, { clock, random, signal, folder })) {
      const found = await diagnose(step);
      signal.throwIfAborted();
      diagnoses.push(found);
      if (step.isVital && found.verdict === 'failed') return diagnoses;
    }
    diagnoses.push(...(await examine(opened, signal)));
  } finally {
    const hasWritten = diagnoses.some(({ check }) => check === 'write');
    if (hasWritten) await removeAll(opened, folder).catch(() => undefined);
  }
  return diagnoses;
}

async function diagnose({ check, run }: Step): Promise<Diagnosis> {
  try {
    return { check, verdict: 'ok', text: await run(), hint: null };
  } catch (error) {
    const { message, hint } = toCairnError(error);
    return { check, verdict: 'failed', text: message, hint };
  }
}

function planSteps(
  storage: Storage,
  parts: Omit<CheckParts, 'open'> & { readonly folder: string },
): readonly Step[] {
  const { clock, random, signal, folder } = parts;
  const small = random.bytes(smallBytes);
  const large = random.bytes(largeBytes);
  const [smallName, largeName, raceName] = ['small', 'large', 'race'].map((n) => `${folder}${n}`);
  const name = { small: smallName ?? '', large: largeName ?? '', race: raceName ?? '' };
  const timed = async (bytes: number, work: () => Promise<void>): Promise<string> => {
    const beganMs = clock.monotonicMs();
    await work();
    return describeTime(bytes, clock.monotonicMs() - beganMs);
  };
  return [
    { check: 'list', isVital: true, run: () => listNothing(storage, folder, signal) },
    {
      check: 'write',
      isVital: true,
      run: () => timed(smallBytes, () => write(storage, name.small, small, signal)),
    },
    {
      check: 'read',
      run: () => timed(smallBytes, () => readBack(storage, name.small, small, signal)),
    },
    { check: 'read a range', run: () => readRange(storage, name.small, small, signal) },
    {
      check: 'large object',
      run: () =>
        timed(largeBytes, async () => {
          await write(storage, name.large, large, signal);
          await readBack(storage, name.large, large, signal);
        }),
    },
    {
      check: 'list again',
      run: () =>
        listBoth(storage, folder, { [name.small]: smallBytes, [name.large]: largeBytes }, signal),
    },
    { check: 'missing object', run: () => readAbsent(storage, `${folder}absent`, signal) },
    { check: 'never overwrite', run: () => writeTaken(storage, name.small, small, signal) },
    { check: 'create once', run: () => raceCreates(storage, name.race, signal) },
    { check: 'delete', run: () => deleteOne(storage, name.small, signal) },
  ];
}

async function write(
  storage: Storage,
  name: string,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const writer = await storage.openWriter(name, signal);
  try {
    await writer.write(Buffer.from(bytes));
    await writer.publish();
  } catch (error) {
    await writer.abort().catch(() => undefined);
    throw error;
  }
  await storage.flush([name], signal);
}

async function readBack(
  storage: Storage,
  name: string,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const found = await storage.read(name, null, signal);
  if (!found.equals(bytes)) throw wrong('what is read is not what was written');
}

async function readRange(
  storage: Storage,
  name: string,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<string> {
  const range = { offsetBytes: 1000, lengthBytes: 4096 };
  const found = await storage.read(name, range, signal);
  if (!found.equals(bytes.subarray(1000, 5096))) throw wrong('a range holds other bytes');
  const behind = storage.read(name, { offsetBytes: smallBytes - 1, lengthBytes: 2 }, signal);
  const error = await behind.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isErrorKind(error, 'repository-damaged'))
    throw error ?? wrong('a range past the end is read');
  return 'exact';
}

async function listNothing(storage: Storage, folder: string, signal: AbortSignal): Promise<string> {
  const found = await Array.fromAsync(storage.list(folder, signal));
  if (found.length > 0) throw wrong('a listing shows what nobody has written');
  return 'answers';
}

async function listBoth(
  storage: Storage,
  folder: string,
  expected: Readonly<Record<string, number>>,
  signal: AbortSignal,
): Promise<string> {
  const found = await Array.fromAsync(storage.list(folder, signal));
  const sizes = Object.fromEntries(found.map(({ name, sizeBytes }) => [name, sizeBytes]));
  for (const [name, sizeBytes] of Object.entries(expected)) {
    if (sizes[name] !== sizeBytes) throw wrong('a listing lacks what was just written');
  }
  return 'shows at once what was written';
}

async function readAbsent(storage: Storage, name: string, signal: AbortSignal): Promise<string> {
  const attempts = [() => storage.read(name, null, signal), () => storage.stat(name, signal)];
  for (const attempt of attempts) {
    const error = await attempt().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!isErrorKind(error, 'not-found')) throw error ?? wrong('an absent object is found');
  }
  return 'is told apart from a failure';
}

async function writeTaken(
  storage: Storage,
  name: string,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<string> {
  const other = Buffer.from('other');
  const error = await write(storage, name, other, signal).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isErrorKind(error, 'conflict')) throw error ?? wrong('an object was overwritten');
  await readBack(storage, name, bytes, signal);
  return 'a name that is taken is refused';
}

async function raceCreates(storage: Storage, name: string, signal: AbortSignal): Promise<string> {
  const texts = Array.from({ length: racers }, (_, racer) => `racer ${racer}`);
  const outcomes = await Promise.all(
    texts.map((text) => storage.createExclusive(name, Buffer.from(text), signal)),
  );
  const winners = texts.filter((_, racer) => outcomes[racer] === 'created');
  const kept = (await storage.read(name, null, signal)).toString();
  if (winners.length === 1 && winners[0] === kept) return `one of ${racers} racing writers wins`;
  throw wrong(`${winners.length} of ${racers} racing writers were told that they had won`);
}

async function deleteOne(storage: Storage, name: string, signal: AbortSignal): Promise<string> {
  await storage.delete(name, signal);
  await storage.delete(name, signal);
  const error = await storage.stat(name, signal).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!isErrorKind(error, 'not-found')) throw error ?? wrong('a deleted object is still there');
  return 'works, also when the object is gone';
}

async function examine(storage: Storage, signal: AbortSignal): Promise<readonly Diagnosis[]> {
  if (!storage.examine) return [];
  try {
    const traits = await storage.examine(signal);
    const { lock } = storage;
    const protection = describeProtection(traits.protection, lock?.terms ?? null);
    const found = [describeCreate(traits), describeSkew(traits), ...protection];
    if (!lock) return found;
    return [...found, await diagnose({ check: 'locked object', run: () => tryLock(lock, signal) })];
  } catch (error) {
    return [await diagnose({ check: 'examine', run: () => Promise.reject(error) })];
  }
}

async function tryLock(lock: ObjectLock, signal: AbortSignal): Promise<string> {
  await lock.probe(signal);
  return 'cannot be deleted';
}

const degradedHint =
  'let one Cairn only use this repository (docs/storage.md); creating an object takes a second';

function describeCreate({ conditionalCreate }: StorageTraits): Diagnosis {
  const check = 'conditional create';
  if (conditionalCreate === 'atomic') {
    return { check, verdict: 'ok', text: 'atomic: of racing writers one wins', hint: null };
  }
  const text =
    conditionalCreate === 'refused'
      ? 'the store refuses it (If-None-Match)'
      : 'the store accepts it and overwrites all the same; a bucket with versioning may do that';
  return { check, verdict: 'warning', text, hint: degradedHint };
}

function describeSkew({ skewMs }: StorageTraits): Diagnosis {
  const check = 'clock';
  if (skewMs === null) {
    return { check, verdict: 'warning', text: 'the store tells no time', hint: null };
  }
  const text = `${Math.round(Math.abs(skewMs) / 1000)} s from the store's`;
  const isFine = Math.abs(skewMs) < skewWarningMs;
  const hint = isFine
    ? null
    : 'set the clock of this machine: stores refuse requests of other times';
  return { check, verdict: isFine ? 'ok' : 'warning', text, hint };
}

/** With a limit of its own: the caller's may be used up. */
async function removeAll(storage: Storage, folder: string): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  for await (const { name } of storage.list(folder, signal)) await storage.delete(name, signal);
}

function describeTime(bytes: number, spanMs: number): string {
  return `${formatBytes(bytes)} in ${Math.round(spanMs)} ms`;
}

function wrong(text: string): CairnError {
  return new CairnError('storage-unavailable', text, {
    hint: 'this storage does not keep what Cairn relies on: use another one',
  });
}
