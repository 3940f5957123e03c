import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBackupManifest } from './backup-manifest.ts';
import type { ListedFile } from './page-source-list.ts';
import { planLog } from './page-source-log.ts';
import { buildManifest } from './page-source-manifest.ts';
import { planRequests } from './page-source-plan.ts';
import { rangeBytesMax, requestBytesMax } from './page-source-read.ts';
import { planLaneCount } from './page-source-start.ts';

const MiB = 1024 * 1024;

function table(path: string, sizeBytes: number): ListedFile {
  return { path, sizeBytes, modifiedSeconds: 5, relation: { segment: 0 } };
}

function plan(files: readonly ListedFile[], kept: readonly string[] = []) {
  return [...planRequests(files, ({ path }) => kept.includes(path))];
}

describe('the requests of a backup', () => {
  it('cut large files into ranges that cover them once', () => {
    const sizes = [20 * MiB + 8192, rangeBytesMax, 8192, 0, 3 * MiB, 17];
    const files = sizes.map((sizeBytes, at) => table(`base/5/${at}`, sizeBytes));
    const requests = plan(files);
    for (const { ranges } of requests) {
      assert.ok(ranges.reduce((sum, range) => sum + range.sizeBytes, 0) <= requestBytesMax);
      assert.ok(ranges.every(({ sizeBytes }) => sizeBytes <= rangeBytesMax));
    }
    for (const { path, sizeBytes } of files) {
      const steps = requests
        .flatMap((request) => request.steps)
        .filter((s) => s.file.path === path);
      let at = 0;
      for (const step of steps) {
        assert.ok(step.kind === 'range' && step.range.offsetBytes === at);
        assert.equal(step.isFirst, at === 0);
        at += step.range.sizeBytes;
        assert.equal(step.isLast, at === sizeBytes);
      }
      assert.equal(at, sizeBytes);
    }
  });

  it('ask for many small files at once, and for none that is kept', () => {
    const files = Array.from({ length: 450 }, (_, at) => table(`base/5/${at}`, 8192));
    const requests = plan(files, ['base/5/0', 'base/5/449']);
    assert.deepEqual(
      requests.map(({ ranges }) => ranges.length),
      [200, 200, 48],
    );
    const paths = requests.flatMap(({ steps }) => steps.map(({ file }) => file.path));
    assert.deepEqual(
      paths,
      files.map(({ path }) => path),
    );
    const last = plan(files.slice(0, 3), ['base/5/0', 'base/5/1', 'base/5/2']);
    assert.deepEqual(
      last.map(({ ranges, steps }) => [ranges.length, steps.length]),
      [[0, 3]],
    );
  });

  it('leave room for a small file that is no relation to have grown', () => {
    const settings = { path: 'postgresql.auto.conf', sizeBytes: 88, modifiedSeconds: 5 };
    const [request] = plan([{ ...settings, relation: null }]);
    assert.ok((request?.ranges[0]?.sizeBytes ?? 0) > 60_000);
    const [large] = plan([{ ...settings, sizeBytes: 2 * MiB + 1, relation: null }]);
    assert.equal(large?.ranges.at(-1)?.sizeBytes, 1);
  });

  it('go to as many connections as leave half of the free ones to others', () => {
    const cases = [
      [100, 8, 4],
      [100, 2, 2],
      [5, 8, 2],
      [1, 8, 1],
      [-3, 8, 1],
    ] as const;
    for (const [free, processors, lanes] of cases) {
      assert.equal(planLaneCount(free, processors), lanes);
    }
  });
});

describe('the log of a backup', () => {
  const entry = (name: string) => {
    return { path: `pg_wal/${name}`, isFolder: false, sizeBytes: 16 * MiB, modifiedSeconds: 5 };
  };
  const at = (lsn: bigint) => ({ engine: 'postgresql', timeline: 2, lsn }) as const;

  it('is every segment of the range, oldest first, and every history', () => {
    const names = [
      ...['000000020000000000000006', '000000020000000000000004', '000000010000000000000004'],
      ...['000000020000000000000005', '000000020000000000000003', '00000002.history'],
      ...[
        '000000020000000000000005.partial',
        'xlogtemp.12',
        '000000020000000000000005.00000028.backup',
      ],
    ];
    const range = { start: at(0x4000028n), stop: at(0x6000000n), segmentBytes: 16 * MiB };
    const planned = planLog(names.map(entry), range).map(({ path }) => path.slice(7));
    assert.deepEqual(planned, [
      ...['000000020000000000000004', '000000010000000000000004', '000000020000000000000005'],
      '00000002.history',
    ]);
  });
});

describe('the manifest of a backup', () => {
  it('reads back, with the server in it since 17', () => {
    const files = [
      { path: 'base/5/1', sizeBytes: 8192, modifiedAt: new Date(5000) },
      { path: 'a "b"\n', sizeBytes: 1, modifiedAt: new Date(5000) },
      { path: 'pg_wal/000000020000000000000004', sizeBytes: 7, modifiedAt: new Date(5000) },
    ];
    const start = { engine: 'postgresql', timeline: 2, lsn: 0x4000028n } as const;
    for (const major of [16, 17]) {
      const facts = { major, systemIdentifier: '7711784543295528313', start, stop: start };
      const bytes = buildManifest(files, facts);
      assert.deepEqual(
        parseBackupManifest(bytes),
        files.slice(0, 2).map(({ path, sizeBytes }) => ({ path, sizeBytes })),
      );
      const text = bytes.toString('utf8');
      assert.equal(text.includes('"System-Identifier": 7711784543295528313,'), major === 17);
    }
  });
});
