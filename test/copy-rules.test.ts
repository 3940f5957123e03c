// What leaves a copy, and what a comparison finds.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertRestores,
  backUp,
  copyAll,
  copyOf,
  dayOf,
  first,
  manifestsOf,
  packOf,
  second,
  third,
  withScene,
} from './fixtures/copies.ts';
import { never, testBackupId, testInstanceId } from './fixtures/repositories.ts';

describe('what leaves a copy', () => {
  it('is what the source has not any more, when asked, and never the last one', async () => {
    await withScene(async (scene) => {
      for (const day of [1, 2, 3]) await backUp(scene.repository, testBackupId(day), day);
      await copyAll(scene);
      const options = { assertLease: async () => undefined, signal: never };
      await scene.repository.deleteBackup(testInstanceId, first, options);
      assert.deepEqual((await copyAll(scene)).removed, []);
      const report = await copyAll(scene, { removeGone: true });
      assert.deepEqual([report.removed, report.present, report.failed], [[first], 2, []]);
      await assertRestores(scene, [
        [second, 2],
        [third, 3],
      ]);
      for (const id of [second, third]) {
        await scene.repository.deleteBackup(testInstanceId, id, options);
      }
      const last = await copyAll(scene, { removeGone: true });
      assert.deepEqual(last.removed, [second]);
      await assertRestores(scene, [[third, 3]]);
      const needed = [...scene.target.objects.keys()].filter((name) => name.includes('/packs/'));
      const copy = await copyOf(scene);
      const [kept] = await copy.listCopies(testInstanceId, never);
      assert.equal(kept?.backupId, third);
      assert.ok(needed.length > 0);
    });
  });

  it('is what is too old, without what newer ones need; and what broke off', async () => {
    await withScene(async (scene) => {
      for (const day of [1, 2, 3]) await backUp(scene.repository, testBackupId(day), day);
      await copyAll(scene);
      const stray = `instances/${testInstanceId}/backups/${testBackupId(9)}/packs/x-000000`;
      scene.target.objects.set(stray, Buffer.from('broke off'));
      const aged = { keepSince: dayOf(3), removeOlder: true };
      const report = await copyAll(scene, aged);
      assert.deepEqual([...report.removed].sort(), [first, second]);
      assert.ok(!scene.target.objects.has(stray));
      await assertRestores(scene, [[third, 3]]);
      assert.deepEqual(manifestsOf(scene.source).length, 3);
      const again = await copyAll(scene, aged);
      assert.deepEqual([again.copied, again.removed, again.objects], [[], [], 0]);
      const all = await copyAll(scene, { keepSince: dayOf(99), removeOlder: true });
      assert.deepEqual([all.removed, all.present], [[], 1]);
      // The shared packs are still counted as needed at the source, and nothing else is left.
      const report2 = await copyAll(scene);
      assert.deepEqual(report2.copied, [second, first]);
    });
  });
});

describe('the comparison', () => {
  it('finds what is missing, other, or only there', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await backUp(scene.repository, second, 2);
      await copyAll(scene);
      const copy = await copyOf(scene);
      const compare = () => copy.compareInstance(testInstanceId, { keepSince: null }, never);
      const sound = await compare();
      assert.deepEqual([sound.backups, sound.gaps, sound.onlyInCopy], [2, [], []]);
      assert.ok(sound.objects > 2);
      await backUp(scene.repository, third, 3);
      const pack = packOf(scene.target, second);
      scene.target.objects.delete(pack);
      const manifest = manifestsOf(scene.target).find((name) => name.includes(first)) ?? '';
      const bytes = Buffer.from(scene.target.objects.get(manifest) ?? assert.fail());
      bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
      scene.target.objects.set(manifest, bytes);
      const found = new Map((await compare()).gaps.map((gap) => [gap.backupId, gap.problems]));
      assert.deepEqual(found.get(third), ['its manifest is missing: it was not copied']);
      assert.deepEqual(found.get(second), [`${pack} is missing`]);
      assert.match(found.get(first)?.[0] ?? '', /differs from the source/);
      scene.source.objects.delete(manifest);
      assert.deepEqual((await compare()).onlyInCopy, [first]);
    });
  });
});
