// Creating an object where the store has no conditional create: mutual exclusion by claims, from
// plain writes and listings that show what was written before.
//
// Who wants to create a name writes a claim of its own, waits, and lists the claims of the name.
// Who finds its claim alone goes on: looks whether the name is free, writes, reads back. Who finds
// a smaller claim withdraws and waits until all are gone; the smallest waits for the others to
// withdraw. Of two writers the later to claim sees the claim of the other, so both are never alone.
// A claim that its writer left behind, killed, counts for nothing after 15 minutes by the store's
// clock: more than any single request of ours may take.
import { createHash } from 'node:crypto';
import { CairnError } from '../model/errors.ts';
import type { FoundObject, S3Requests } from './s3-requests.ts';

export type ClaimPace = {
  /** Between claiming and looking: for listings that lag a little. */
  readonly settleMs: number;
  readonly pollMs: number;
  /** For everything together. */
  readonly waitMs: number;
};

export const usualPace: ClaimPace = { settleMs: 1_000, pollMs: 250, waitMs: 60_000 };

const staleMs = 15 * 60_000;
const withdrawMs = 5_000;

/**
 * Of several racing callers exactly one gets `created`, if listings show what was written.
 * @throws conflict when another holds a claim all the time; storage errors
 */
export async function createUnderClaim(
  requests: S3Requests,
  object: { readonly name: string; readonly bytes: Uint8Array; readonly pace: ClaimPace },
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const { name, bytes, pace } = object;
  const { clock, random } = requests.parts;
  const folder = `tmp/claims/${createHash('sha256').update(name).digest('hex').slice(0, 32)}/`;
  const deadlineMs = clock.monotonicMs() + pace.waitMs;
  while (clock.monotonicMs() < deadlineMs) {
    if (await requests.isPresent(name, signal)) return 'exists';
    const claim = `${folder}${random.hex(16)}`;
    try {
      await requests.put(claim, Buffer.from(name), signal);
      await clock.sleep(pace.settleMs, signal);
      if (await isOursToMake(requests, { folder, claim, pace, deadlineMs }, signal)) {
        return await writeAlone(requests, name, bytes, signal);
      }
    } finally {
      // Also when the caller has given up. What cannot be withdrawn becomes stale.
      const limit = AbortSignal.timeout(withdrawMs);
      await requests.delete(claim, limit).catch(() => undefined);
    }
    await untilUnclaimed(requests, { folder, pace, deadlineMs }, signal);
  }
  throw new CairnError('conflict', `another Cairn is about to create ${name}`, {
    hint: 'let one Cairn use the repository; a claim that was left behind ends after 15 minutes',
  });
}

type Wait = { readonly folder: string; readonly pace: ClaimPace; readonly deadlineMs: number };

/** True when no other claim is there; false as soon as a smaller one is. */
async function isOursToMake(
  requests: S3Requests,
  wait: Wait & { readonly claim: string },
  signal: AbortSignal,
): Promise<boolean> {
  const { clock } = requests.parts;
  while (clock.monotonicMs() < wait.deadlineMs) {
    const claims = await Array.fromAsync(requests.list(wait.folder, signal));
    const { alive, stale } = planClaims(claims, wait.claim);
    for (const name of stale) await requests.delete(name, signal);
    if (alive.length === 0) return true;
    if (alive.some((name) => name < wait.claim)) return false;
    await clock.sleep(wait.pace.pollMs, signal);
  }
  return false;
}

/**
 * The claims of others: those that count, and those left behind. Ages are told by our own claim,
 * which is fresh. @throws storage-unavailable when it is not listed
 */
export function planClaims(
  claims: readonly FoundObject[],
  claim: string,
): { readonly alive: readonly string[]; readonly stale: readonly string[] } {
  const own = claims.find(({ name }) => name === claim);
  if (!own) {
    throw new CairnError('storage-unavailable', 'the store does not list what was just written', {
      hint: 'a store with late listings and without conditional create cannot hold a repository',
    });
  }
  const isStale = ({ modifiedAt }: FoundObject): boolean =>
    own.modifiedAt.getTime() - modifiedAt.getTime() >= staleMs;
  const others = claims.filter((other) => other !== own);
  return {
    alive: others.filter((other) => !isStale(other)).map(({ name }) => name),
    stale: others.filter(isStale).map(({ name }) => name),
  };
}

async function writeAlone(
  requests: S3Requests,
  name: string,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  if (await requests.isPresent(name, signal)) return 'exists';
  await requests.put(name, bytes, signal);
  const found = await requests.read(name, null, signal);
  return found.equals(bytes) ? 'created' : 'exists';
}

async function untilUnclaimed(
  requests: S3Requests,
  { folder, pace, deadlineMs }: Wait,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = requests.parts;
  while (clock.monotonicMs() < deadlineMs) {
    const claims = await Array.fromAsync(requests.list(folder, signal));
    if (claims.length === 0) return;
    await clock.sleep(pace.pollMs, signal);
  }
}
