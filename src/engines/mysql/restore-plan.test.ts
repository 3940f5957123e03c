import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isErrorKind } from '../../model/errors.ts';
import type { SourceFile } from '../engine.ts';
import { firstDataFile, guardDataFile, planRestore } from './restore-plan.ts';

const file = (path: string): SourceFile => ({
  ...{ path, mode: 0o640, modifiedAt: new Date(0), sizeBytes: 10, pageSizeBytes: 16_384 },
});

function plan(paths: readonly string[], modes: Readonly<Record<string, number>> = {}) {
  return planRestore({
    ...{ targetDir: '/srv/data', dataFile: 'ibdata1', files: paths.map(file) },
    directories: Object.entries(modes).map(([path, mode]) => ({ path, mode })),
  });
}

suite('where the files of a physical backup go', () => {
  test('the log comes first, and the first data file has another name', () => {
    const { logs, rest, totalBytes } = plan(['ibdata1', 'shop/a.ibd', 'ib_logfile0']);
    assert.deepEqual(logs, [{ path: 'ib_logfile0', targetPath: '/srv/data/ib_logfile0' }]);
    assert.deepEqual(rest, [
      { path: 'ibdata1', targetPath: '/srv/data/ibdata1.unprepared' },
      { path: 'shop/a.ibd', targetPath: '/srv/data/shop/a.ibd' },
    ]);
    assert.equal(totalBytes, 30);
  });

  test('what leads to files of the old server is left out', () => {
    const { rest, totalBytes } = plan(['ibdata1', 'shop/far.isl', 'shop/far.ibd']);
    assert.ok(!rest.some(({ path }) => path.endsWith('.isl')));
    assert.equal(totalBytes, 20);
  });

  test('folders come before what is in them, also those that nobody announced', () => {
    const { directories } = plan(['shop/a.ibd', 'undo/x/undo001'], { shop: 0o750, empty: 0o500 });
    assert.deepEqual(directories, [
      { path: '/srv/data', mode: 0o700 },
      { path: '/srv/data/empty', mode: 0o700 },
      { path: '/srv/data/shop', mode: 0o750 },
      { path: '/srv/data/undo', mode: 0o700 },
      { path: '/srv/data/undo/x', mode: 0o700 },
    ]);
  });

  test('no path leads out of the folder', () => {
    for (const path of ['../x', '/etc/x', 'a//b', 'a/./b', 'a/../../x', '']) {
      assert.throws(
        () => plan([path]),
        (error) => isErrorKind(error, 'repository-damaged'),
        path,
      );
    }
  });

  test('the guarded setting leads to the other name, and keeps sizes and further files', () => {
    assert.deepEqual(guardDataFile('ibdata1:12M;ibdata2:50M:autoextend'), {
      dataFile: 'ibdata1',
      guardName: 'ibdata1.unprepared',
      guardedPath: 'ibdata1.unprepared:12M;ibdata2:50M:autoextend',
    });
    assert.equal(firstDataFile(undefined), 'ibdata1');
  });
});
