// What a driver may not do with growing files, and what nothing comes of.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RepositoryWriter } from '../src/repository/repository.ts';
import { GrowingScene, growingMeta, openWriter } from './fixtures/growing-scene.ts';
import { testBackupId, testFacts } from './fixtures/repositories.ts';

const first = testBackupId(1);

describe('a writer refuses', () => {
  type Refused = (writer: RepositoryWriter) => unknown;
  const refusals: Record<string, Refused> = {
    'to rename an open file': (writer) => {
      writer.beginGrowing({ ...growingMeta, path: 'a' });
      writer.renameFile('a', 'b');
    },
    'to replace an open file': (writer) => {
      writer.beginGrowing({ ...growingMeta, path: 'a' }).end();
      writer.beginGrowing({ ...growingMeta, path: 'b' });
      writer.renameFile('a', 'b');
    },
    'to remove an open file': (writer) => {
      writer.beginGrowing({ ...growingMeta, path: 'a' });
      writer.removeFile('a');
    },
    'to replace a directory': (writer) => {
      writer.directory({ path: 'b', mode: 0o700 });
      writer.beginGrowing({ ...growingMeta, path: 'a' }).end();
      writer.renameFile('a', 'b');
    },
    'a path that is there': (writer) => {
      writer.beginGrowing({ ...growingMeta, path: 'a' }).end();
      writer.beginGrowing({ ...growingMeta, path: 'a' });
    },
    'seventeen open files': (writer) => {
      for (let i = 0; i < 17; i++) writer.beginGrowing({ ...growingMeta, path: `${i}` });
    },
    'bytes behind the end': (writer) => {
      const file = writer.beginGrowing({ ...growingMeta, path: 'a' });
      file.end();
      return file.write(Buffer.alloc(1));
    },
    'to end twice': (writer) => {
      const file = writer.beginGrowing({ ...growingMeta, path: 'a' });
      file.end();
      file.abandon();
    },
    'a head behind the first page': (writer) => {
      const file = writer.beginGrowing({ ...growingMeta, path: 'a' });
      file.write(Buffer.alloc(5000));
      file.rewriteHead(510, Buffer.alloc(3));
    },
    'to commit with a file open': (writer) => {
      writer.beginGrowing({ ...growingMeta, path: 'a' });
      return writer.commit(testFacts());
    },
  };
  for (const [what, refused] of Object.entries(refusals)) {
    it(what, async () => {
      await using scene = new GrowingScene();
      await using writer = await openWriter(await scene.open(), { backupId: first });
      await assert.rejects(async () => await refused(writer), /^Error: bug: /);
    });
  }

  it('nothing where there is no such file', async () => {
    await using scene = new GrowingScene();
    await using writer = await openWriter(await scene.open(), { backupId: first });
    assert.equal(writer.removeFile('a'), false);
    assert.equal(writer.renameFile('a', 'b'), false);
  });
});
