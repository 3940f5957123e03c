// What a bucket with object lock must be like, on a real store: the documented lifecycle rule, the
// documented permissions, and what a check says.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  DeleteObjectCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutObjectLockConfigurationCommand,
} from '@aws-sdk/client-s3';
import { systemClock } from '../src/platform/clock.ts';
import { writeRetention } from '../src/storage/s3-retention.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { never } from './fixtures/repositories.ts';
import { openS3, useCredentials, versionsOf } from './fixtures/s3-storages.ts';
import { runCairn } from './fixtures/service.ts';
import { until } from './fixtures/until.ts';

type Check = { check: string; verdict: string; text: string };

const dayMs = 86_400_000;
let store: ObjectStore;
before(async () => {
  store = await startObjectStore('ceph');
  useCredentials(store.environment);
  await store.makeBucket('plain');
  await store.makeBucket('locked', { canLock: true });
});
after(() => store[Symbol.asyncDispose]());

describe('the documented lifecycle rule', () => {
  it('frees the room of what was deleted, once its lock is over, and of nothing else', async () => {
    await store.makeBucket('ruled', { canLock: true });
    const LifecycleConfiguration = JSON.parse(await documented('Rules'));
    await store.client.send(
      new PutBucketLifecycleConfigurationCommand({ Bucket: 'ruled', LifecycleConfiguration }),
    );
    const storage = await openS3(`${store.urlOf('ruled', 'cairn')}&lock=compliance`);
    for (const [name, lockedMs] of [
      ['over', 1_000],
      ['held', 600_000],
    ] as const) {
      await storage.requests.put(name, Buffer.from(name), never);
      const [version] = await versionsOf(storage, name);
      assert.ok(version);
      const retention = { mode: 'compliance', endMs: Date.now() + lockedMs } as const;
      await writeRetention(storage.requests, version, { retention, signal: never });
      await storage.delete(name, never);
    }
    await storage.requests.put('needed', Buffer.from('needed'), never);
    await systemClock.sleep(2_500, never);
    await store.applyLifecycle();
    const left = async (): Promise<string[]> =>
      (await versionsOf(storage)).filter((each) => !each.isDeletion).map(({ name }) => name);
    await until('the room is freed', async () => !(await left()).includes('over'));
    assert.deepEqual((await left()).sort(), ['held', 'needed']);
  });
});

/** The block of JSON in the page that has the key. */
async function documented(key: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../docs/object-lock.md'), 'utf8');
  const blocks = [...text.matchAll(/```json\n([^`]*)```/g)].map(([, json = '']) => json);
  return blocks.find((json) => json.includes(`"${key}"`)) ?? assert.fail(`no ${key}`);
}

describe('a user with the documented permissions', () => {
  it('can lock, and can neither delete a version nor free one', async () => {
    const [bucket, prefix] = ['limited', 'cairn'];
    await store.makeBucket(bucket, { canLock: true });
    const environment = await store.makeUser('limited-user');
    const json = await documented('Statement');
    const policy = JSON.parse(json.replaceAll('BUCKET', bucket).replaceAll('PREFIX', prefix));
    const Principal = { AWS: ['arn:aws:iam:::user/limited-user'] };
    const Statement = policy.Statement.map((each: object) => ({ ...each, Principal }));
    await store.client.send(
      new PutBucketPolicyCommand({
        Bucket: bucket,
        Policy: JSON.stringify({ ...policy, Statement }),
      }),
    );
    const url = `${store.urlOf(bucket, prefix)}&lock=governance&lock_days=1`;
    const args = ['storage', 'check', '--storage', url, '--json'];
    const { exitCode, stdout } = await runCairn(args, { environment });
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /cannot be deleted/);
    useCredentials(environment);
    const storage = await openS3(url);
    await storage.requests.put('a', Buffer.from('a'), never);
    const [version] = await versionsOf(storage, 'a');
    assert.ok(version);
    const { client } = storage.requests.parts.connection;
    const at = { ...storage.requests.at('a'), VersionId: version.versionId };
    await assert.rejects(client.send(new DeleteObjectCommand(at)), /AccessDenied|UnknownError/);
    await storage.lock?.extend([version], 'all', never);
    const end = await storage.lock?.findEnd(version, never);
    assert.ok(end && end.getTime() > Date.now() + 3.9 * dayMs);
    const bypass = { ...at, BypassGovernanceRetention: true };
    await assert.rejects(client.send(new DeleteObjectCommand(bypass)), /AccessDenied|UnknownError/);
    useCredentials(store.environment);
    assert.equal((await versionsOf(storage, 'a')).length, 1);
  });
});

describe('the check of a storage with locks', () => {
  const check = async (bucket: string, rest: string) => {
    const url = `${store.urlOf(bucket, 'checked')}${rest}`;
    const args = ['storage', 'check', '--storage', url, '--json'];
    const result = await runCairn(args, { environment: store.environment });
    const { exitCode } = result;
    const found = result.json<{ checks: Check[] }>().checks ?? assert.fail(result.stdout);
    const verdicts = Object.fromEntries(found.map((each) => [each.check, each.verdict]));
    return { exitCode, found, verdicts };
  };

  it('says what the bucket does, and tries a lock', async () => {
    const good = await check('locked', '&lock=governance');
    assert.equal(good.exitCode, 0, JSON.stringify(good.found));
    assert.equal(good.verdicts['locked object'], 'ok');
    assert.equal(good.verdicts['object lock'], 'ok');
    assert.equal(good.verdicts['versions'], 'warning');
    const expiring = {
      ...({ ID: 'old', Status: 'Enabled', Filter: { Prefix: '' } } as const),
      NoncurrentVersionExpiration: { NoncurrentDays: 1 },
    };
    await store.client.send(
      new PutBucketLifecycleConfigurationCommand({
        ...{ Bucket: 'locked', LifecycleConfiguration: { Rules: [expiring] } },
      }),
    );
    assert.equal((await check('locked', '&lock=governance')).verdicts['versions'], 'ok');
    const bad = await check('plain', '&lock=compliance');
    assert.equal(bad.exitCode, 1);
    assert.match(JSON.stringify(bad.found), /object lock is not enabled/);
    assert.equal((await check('plain', '')).verdicts['object lock'], 'ok');
  });

  it('warns of a bucket that locks whatever is written', async () => {
    await store.makeBucket('eager', { canLock: true });
    const DefaultRetention = { Mode: 'GOVERNANCE', Days: 1 } as const;
    await store.client.send(
      new PutObjectLockConfigurationCommand({
        Bucket: 'eager',
        ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention } },
      }),
    );
    const found = await check('eager', '&lock=governance');
    assert.equal(found.exitCode, 0, JSON.stringify(found.found));
    assert.equal(found.verdicts['object lock'], 'warning');
  });
});
