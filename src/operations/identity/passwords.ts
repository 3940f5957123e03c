// scrypt (RFC 7914), stored as `scrypt$N$r$p$salt$hash` so that the cost can grow without breaking
// old hashes.
import { scrypt, timingSafeEqual } from 'node:crypto';
import { assert } from '../../model/assert.ts';
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import { Gate } from '../../platform/gate.ts';
import type { Random } from '../../platform/random.ts';

type Cost = { readonly N: number; readonly r: number; readonly p: number };

// 32 MiB and about a tenth of a second per attempt.
const cost: Cost = { N: 32_768, r: 8, p: 1 };
const hashBytes = 32;
const saltBytes = 16;
/** What is hashed at most: a password of a megabyte is an attack. */
const hashedCharactersMax = 1024;
const passwordCharactersMax = 128;
const passwordCharactersMin = 12;
const differentCharactersMin = 6;
/** A shorter name is in a good password by chance. */
const tellingNameMin = 4;

/**
 * A flood of logins must neither eat the memory nor keep backups and the catalog from the thread
 * pool. Both are the process's, so there is one gate in it.
 */
const gate = new Gate({
  runningMax: 2,
  waitingMax: 40,
  refusal: () =>
    new CairnError('conflict', 'too many logins are being checked', {
      reason: 'logins-saturated',
      hint: 'try again in a few seconds, and keep the token: it lives for 24 hours',
    }),
});

/** Long enough to be no word, and not the name again. @throws invalid */
export function assertStrongPassword(password: Secret, userName: string): void {
  const text = password.reveal();
  const characters = [...text];
  const isStrong =
    characters.length >= passwordCharactersMin &&
    characters.length <= passwordCharactersMax &&
    new Set(characters).size >= differentCharactersMin &&
    (userName.length < tellingNameMin || !text.toLowerCase().includes(userName.toLowerCase()));
  if (isStrong) return;
  throw new CairnError('invalid', 'the password is too weak or too long', {
    reason: 'password-weak',
    hint:
      `use ${passwordCharactersMin} to ${passwordCharactersMax} characters, ` +
      `${differentCharactersMin} of them different, without the name of the user`,
  });
}

/** For a user who did not bring one. */
export function generatePassword(random: Random): Secret {
  return new Secret(random.bytes(18).toString('base64url'));
}

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
  const text = password.reveal().slice(0, hashedCharactersMax);
  const options = { N, r, p, maxmem: 256 * N * r };
  const work = () =>
    new Promise<Buffer>((resolve, reject) => {
      scrypt(text, salt, hashBytes, options, (error, key) =>
        error ? reject(error) : resolve(key),
      );
    });
  return gate.run(work);
}
