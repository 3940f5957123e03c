import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrorKind } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import { systemRandom } from '../../platform/random.ts';
import { HashQueue } from './hash-queue.ts';
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

test('hashes run two at a time, and a queue that is full says so', async () => {
  const queue = new HashQueue();
  const gates = Array.from({ length: 42 }, () => Promise.withResolvers<void>());
  let running = 0;
  let most = 0;
  const results = gates.map((gate) =>
    queue.run(async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      running--;
    }),
  );
  await assert.rejects(
    queue.run(async () => undefined),
    (error) => isErrorKind(error, 'conflict') && error.reason === 'logins-saturated',
  );
  for (const gate of gates) gate.resolve();
  await Promise.all(results);
  assert.equal(most, 2);
  const failed = queue.run(async () => await Promise.reject(new Error('no')));
  await assert.rejects(failed, /no/);
  assert.equal(await queue.run(async () => 'again'), 'again');
});
