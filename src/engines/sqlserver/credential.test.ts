import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planCredential } from './credential.ts';

describe('the credential that a server takes for a URL', () => {
  it('is the most specific one that ends where a part of the URL does', () => {
    const url = 's3://store:9000/bucket/a';
    const names = ['s3://store:9000', 's3://store:9000/bucket', 's3://store:9000/bucket/a/b'];
    assert.equal(planCredential(names, url), 's3://store:9000/bucket');
    assert.equal(planCredential([...names, url.toUpperCase()], url), url.toUpperCase());
    for (const other of ['s3://store', 's3://store:9000/buck', 's3://store:9000/bucket/ab', '']) {
      assert.equal(planCredential([other], url), null, other);
    }
  });
});
