import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { hostileNames } from '../../../scripts/tsql-samples.ts';
import type { BackedUpFile, MoveTarget } from './plan-move.ts';
import { fileStem, planMoves } from './plan-move.ts';

const windows: MoveTarget = {
  ...{ stem: fileStem('Shop 2'), platform: 'windows', dataDir: 'D:\\data', logDir: 'L:\\log\\' },
  takenPaths: [],
};
const linux: MoveTarget = {
  ...{ stem: fileStem('Shop 2'), platform: 'linux', dataDir: '/data/', logDir: '/log' },
  takenPaths: [],
};
const file = (logicalName: string, type: BackedUpFile['type'], fileId: number): BackedUpFile => ({
  ...{ logicalName, type, fileId },
});
const files = [
  ...[
    file('shop', 'D', 1),
    file('shop_log', 'L', 2),
    file('more', 'D', 3),
    file('docs', 'S', 65_537),
  ],
];

suite('where restored files go', () => {
  test('data and log into the folders of the target, each under a name of its own', () => {
    const stem = /^shop_2_[0-9a-f]{8}$/.exec(
      planMoves(files, linux)[0]?.path.slice('/data/'.length, -'_1.mdf'.length) ?? '',
    )?.[0];
    assert.ok(stem);
    assert.deepEqual(planMoves(files, windows), [
      { logicalName: 'shop', path: `D:\\data\\${stem}_1.mdf` },
      { logicalName: 'shop_log', path: `L:\\log\\${stem}_2.ldf` },
      { logicalName: 'more', path: `D:\\data\\${stem}_3.ndf` },
      { logicalName: 'docs', path: `D:\\data\\${stem}_65537` },
    ]);
  });

  test('never where another database has a file, whatever the case', () => {
    const [first] = planMoves(files, linux);
    const again = planMoves(files, { ...linux, takenPaths: [first?.path.toUpperCase() ?? ''] });
    assert.match(again[0]?.path ?? '', /_1_2\.mdf$/);
  });

  test('never into a path made of a name', () => {
    for (const database of [...hostileNames, '../../etc/passwd', 'C:\\x', '..', 'NUL', 'Ünï']) {
      for (const target of [windows, linux]) {
        for (const { path } of planMoves(files, { ...target, stem: fileStem(database) })) {
          assert.match(path, /^(?:D:\\data\\|L:\\log\\|\/data\/|\/log\/)[a-z0-9_]+(?:\.[mnl]df)?$/);
          assert.ok(path.length < 120);
        }
      }
    }
  });

  test('apart for names that look alike in a fixed alphabet', () => {
    const alike = ['shop-2', 'shop 2', 'Shop_2', 'SHOP 2', 'shop/2', '店 2', '店2', '', ' '].slice(
      0,
      7,
    );
    const paths = alike.map(
      (database) => planMoves(files, { ...linux, stem: fileStem(database) })[0]?.path,
    );
    assert.equal(new Set(paths).size, alike.length);
  });

  test('nowhere, for a list that is not one of a database', () => {
    assert.throws(() => planMoves([], linux), /no data file/);
    assert.throws(() => planMoves([file('a', 'D', 1)], linux), /no file of log/);
    assert.throws(() => planMoves([...files, file('b', 'D', -1)], linux), /number -1/);
    assert.throws(() => planMoves(files, { ...linux, dataDir: 'data' }), /absolute/);
    assert.throws(() => planMoves(files, { ...windows, dataDir: '/data' }), /absolute/);
  });
});
