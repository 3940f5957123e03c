import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrorKind } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import { systemRandom } from '../../platform/random.ts';
import {
  assertStrongPassword,
  checkNobody,
  generatePassword,
  hashPassword,
  isPassword,
} from './passwords.ts';

test('a password is recognised by its hash, and only it', async () => {
  const stored = await hashPassword(new Secret('right'), systemRandom);
  assert.match(stored, /^scrypt\$32768\$8\$1\$[^$]+\$[^$]+$/);
  assert.doesNotMatch(stored, /right/);
  assert.equal(await isPassword(new Secret('right'), stored), true);
  assert.equal(await isPassword(new Secret('wrong'), stored), false);
  assert.equal(await isPassword(new Secret(''), stored), false);
});

test('two hashes of one password differ', async () => {
  const password = new Secret('same');
  assert.notEqual(
    await hashPassword(password, systemRandom),
    await hashPassword(password, systemRandom),
  );
});

test('a hash of another cost is still understood', async () => {
  const { scryptSync } = await import('node:crypto');
  const hash = scryptSync('old', 'salt', 32, { N: 1024, r: 8, p: 1 });
  const salt = Buffer.from('salt').toString('base64');
  const stored = `scrypt$1024$8$1$${salt}$${hash.toString('base64')}`;
  assert.equal(await isPassword(new Secret('old'), stored), true);
});

test('nobody has no password', async () => {
  assert.equal(await checkNobody(new Secret('any')), false);
});

test('a password must be long, varied, and not the name', () => {
  const check = (text: string, name = 'anna') => assertStrongPassword(new Secret(text), name);
  for (const text of [
    'four words are fine',
    'äöüß-ひらがな-123456',
    generatePassword(systemRandom).reveal(),
  ]) {
    check(text);
  }
  check('anything-goes-here', 'g');
  for (const text of [
    '',
    'elevenchars',
    'aaaaaaaaaaaaaaaa',
    'my name is ANNA',
    'x1y2z3'.repeat(22),
  ]) {
    assert.throws(
      () => check(text),
      (error) => isErrorKind(error, 'invalid'),
      text,
    );
  }
});

test('logins are hashed two at a time; of a flood most are refused at once', async () => {
  const stored = await hashPassword(new Secret('right'), systemRandom);
  const flood = Array.from({ length: 45 }, () => isPassword(new Secret('right'), stored));
  const results = await Promise.allSettled(flood);
  const failures = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  assert.equal(failures.length, 3);
  for (const error of failures) {
    assert.ok(isErrorKind(error, 'conflict') && error.reason === 'logins-saturated');
  }
});
