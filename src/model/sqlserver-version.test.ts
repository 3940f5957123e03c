import assert from 'node:assert/strict';
import { test } from 'node:test';
import { majorVersion } from './server-version.ts';
import {
  isOlderSqlServer,
  isPublishedRestore,
  parseSqlServerVersion,
} from './sqlserver-version.ts';

test('a version is known by its year and edition, as far as they are known', () => {
  const cases = [
    ['16.0.4135.4-SE', '2022_SE'],
    ['14.0.3465.1-EE', '2017_EE'],
    ['15.0.2000.5', '2019'],
    ['99.0.1-SE', '99.0.1-SE'],
    ['16.0.1-NOVEL', '2022'],
    ['', ''],
  ] as const;
  for (const [text, wanted] of cases) assert.equal(majorVersion('sqlserver', text), wanted);
  assert.equal(parseSqlServerVersion('Microsoft SQL Server'), null);
  assert.ok(isOlderSqlServer('15.0.1-EE', '16.0.1-SE'));
  assert.ok(!isOlderSqlServer('16.0.1-SE', '16.0.9-EE'));
  assert.ok(!isOlderSqlServer('', '16.0.9-EE'));
});

test('the published table of restores, cell by cell', () => {
  const versions = {
    ...{ '2017_SE': '14.0.1-SE', '2017_EE': '14.0.1-EE', '2019_SE': '15.0.1-SE' },
    ...{ '2019_EE': '15.0.1-EE', '2022_SE': '16.0.1-SE', '2022_EE': '16.0.1-EE' },
  };
  const wanted = {
    '2017_SE': '2017_SE 2017_EE 2019_SE 2019_EE',
    '2017_EE': '2017_EE 2019_EE',
    '2019_SE': '2019_SE 2019_EE 2022_SE 2022_EE',
    '2019_EE': '2019_SE 2019_EE 2022_EE',
    '2022_SE': '2022_SE 2022_EE',
    '2022_EE': '2022_SE 2022_EE',
  };
  for (const [from, targets] of Object.entries(wanted)) {
    const source = versions[from as keyof typeof versions];
    const found = Object.entries(versions).filter(([, to]) => isPublishedRestore(source, to));
    assert.deepEqual(found.map(([name]) => name).sort(), targets.split(' ').sort(), `from ${from}`);
  }
  assert.equal(isPublishedRestore('13.0.1-SE', '16.0.1-SE'), null);
  assert.equal(isPublishedRestore('16.0.1-SE', '17.0.1-SE'), null);
  assert.equal(isPublishedRestore('16.0.1-SE', '16.0.1'), null);
});
