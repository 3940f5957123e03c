// The storage contract on a real S3 store that creates conditionally: Ceph; and the permissions
// that `docs/storage.md` says are enough.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { openFreshS3, useCredentials } from './fixtures/s3-storages.ts';
import { runCairn } from './fixtures/service.ts';
import { storageSuite } from './suites/storage-suite.ts';

type Statement = { Effect: string; Action: string[]; Resource: string };
type Policy = { Version: string; Statement: Statement[] };
type Check = { check: string; verdict: string; text: string; hint: string | null };

const documentation = join(import.meta.dirname, '../docs/storage.md');
let store: ObjectStore;
before(async () => {
  store = await startObjectStore('ceph');
  useCredentials(store.environment);
  await store.makeBucket('plain');
});
after(() => store[Symbol.asyncDispose]());

storageSuite('S3 on Ceph', () => openFreshS3(store, 'plain'));

async function documentedPolicy(bucket: string, prefix: string): Promise<Policy> {
  const text = /```json\n([^`]*"Statement"[^`]*)```/.exec(
    await readFile(documentation, 'utf8'),
  )?.[1];
  assert.ok(text);
  return JSON.parse(text.replaceAll('BUCKET', bucket).replaceAll('PREFIX', prefix));
}

async function allow(user: string, bucket: string, policy: Policy): Promise<void> {
  const Principal = { AWS: [`arn:aws:iam:::user/${user}`] };
  const statements = policy.Statement.map((statement) => ({ ...statement, Principal }));
  const Policy = JSON.stringify({ ...policy, Statement: statements });
  await store.client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
}

it('needs no more permissions than documented, and names what is denied', async () => {
  const [bucket, prefix] = ['limited', 'cairn'];
  const environment = await store.makeUser('limited-user');
  await store.makeBucket(bucket);
  const policy = await documentedPolicy(bucket, prefix);
  await allow('limited-user', bucket, policy);
  const check = async (place: string): Promise<{ exitCode: number; checks: Check[] }> => {
    const args = ['storage', 'check', '--storage', store.urlOf(bucket, place), '--json'];
    const result = await runCairn(args, { environment });
    return { exitCode: result.exitCode, checks: result.json<{ checks: Check[] }>().checks };
  };
  const allowed = await check(prefix);
  assert.equal(allowed.exitCode, 0, JSON.stringify(allowed.checks));
  assert.ok(allowed.checks.every(({ verdict }) => verdict === 'ok'));
  const elsewhere = await check('of-another');
  assert.equal(elsewhere.exitCode, 1);
  const last = elsewhere.checks.at(-1);
  assert.deepEqual([last?.check, last?.verdict], ['write', 'failed']);
  assert.match(last?.text ?? '', /access denied/);
  assert.match(last?.hint ?? '', /docs\/storage\.md/);
});
