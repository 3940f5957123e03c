// scrypt (RFC 7914), stored as `scrypt$N$r$p$salt$hash` so that the cost can grow without breaking
// old hashes.
import { scrypt, timingSafeEqual } from 'node:crypto';
import { assert } from '../../model/assert.ts';
import type { Secret } from '../../model/secret.ts';
import type { Random } from '../../platform/random.ts';

type Cost = { readonly N: number; readonly r: number; readonly p: number };

// 32 MiB and about a tenth of a second per attempt.
const cost: Cost = { N: 32_768, r: 8, p: 1 };
const hashBytes = 32;
const saltBytes = 16;
const passwordCharactersMax = 1024;

export async function hashPassword(password: Secret, random: Random): Promise<string> {
  const salt = random.bytes(saltBytes);
  const hash = await derive(password, salt, cost);
  const parts = [cost.N, cost.r, cost.p, salt.toString('base64'), hash.toString('base64')];
  return `scrypt$${parts.join('$')}`;
}

/** Takes the same time for a wrong password as for the right one. */
export async function isPassword(password: Secret, stored: string): Promise<boolean> {
  const [scheme, N, r, p, salt, hash] = stored.split('$');
  assert(scheme === 'scrypt' && salt && hash, 'a stored password hash has an unknown form');
  const given = { N: Number(N), r: Number(r), p: Number(p) };
  const expected = Buffer.from(hash, 'base64');
  const actual = await derive(password, Buffer.from(salt, 'base64'), given);
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

/**
 * Spends the time of a check where there is no user to check, so that names cannot be found out.
 */
export async function checkNobody(password: Secret): Promise<false> {
  await derive(password, Buffer.alloc(saltBytes), cost);
  return false;
}

function derive(password: Secret, salt: Buffer, { N, r, p }: Cost): Promise<Buffer> {
  const text = password.reveal().slice(0, passwordCharactersMax);
  const options = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(text, salt, hashBytes, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
