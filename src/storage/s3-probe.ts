// What a store really does with `If-None-Match: *` (rule 23). Some stores refuse it, some accept it
// and overwrite all the same (Ceph does in a bucket with versioning), some look first and write
// then. So it is tried in the very bucket: first on a name that is taken, then with racing writers.
import type { Random } from '../platform/random.ts';
import type { S3Requests } from './s3-requests.ts';
import type { StorageTraits } from './storage.ts';

export type ConditionalCreate = StorageTraits['conditionalCreate'];

const rounds = 3;
const racers = 8;
const cleanUpMs = 5_000;

/** Leaves nothing behind. @throws storage errors */
export async function probeConditionalCreate(
  requests: S3Requests,
  random: Random,
  signal: AbortSignal,
): Promise<ConditionalCreate> {
  const folder = `tmp/probe-${random.hex(8)}/`;
  const taken = `${folder}taken`;
  const names = Array.from({ length: rounds }, (_, round) => `${folder}${round}`);
  try {
    let found = await takeTwice(requests, taken, signal);
    for (const name of names) if (found === 'atomic') found = await race(requests, name, signal);
    return found;
  } finally {
    const limit = AbortSignal.timeout(cleanUpMs);
    for (const name of [taken, ...names]) await requests.delete(name, limit).catch(() => undefined);
  }
}

async function takeTwice(
  requests: S3Requests,
  taken: string,
  signal: AbortSignal,
): Promise<ConditionalCreate> {
  const first = await requests.putIfAbsent(taken, Buffer.from('first'), signal);
  if (first === 'refused') return 'refused';
  const second = await requests.putIfAbsent(taken, Buffer.from('second'), signal);
  if (second === 'refused') return 'refused';
  const kept = await requests.read(taken, null, signal);
  return second === 'exists' && kept.toString() === 'first' ? 'atomic' : 'overwrites';
}

async function race(
  requests: S3Requests,
  name: string,
  signal: AbortSignal,
): Promise<ConditionalCreate> {
  const texts = Array.from({ length: racers }, (_, racer) => `racer ${racer}`);
  const outcomes = await Promise.all(
    texts.map((text) => requests.putIfAbsent(name, Buffer.from(text), signal)),
  );
  if (outcomes.includes('refused')) return 'refused';
  const winners = texts.filter((_, racer) => outcomes[racer] === 'created');
  const kept = await requests.read(name, null, signal);
  return winners.length === 1 && kept.toString() === winners[0] ? 'atomic' : 'overwrites';
}
