import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../../model/secret.ts';
import { systemRandom } from '../../platform/random.ts';
import { checkNobody, hashPassword, isPassword } from './passwords.ts';

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
