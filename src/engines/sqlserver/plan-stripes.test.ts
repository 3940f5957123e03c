import assert from 'node:assert/strict';
import { it } from 'node:test';
import { planStripes } from './plan-stripes.ts';

const gibibyte = 1024 ** 3;

it('stripes follow the size, within what a server takes', () => {
  const cases: readonly [number | null, 'disk' | 's3', number][] = [
    [0, 'disk', 1],
    [256 * gibibyte, 'disk', 1],
    [256 * gibibyte + 1, 'disk', 2],
    [1024 ** 5, 'disk', 64],
    [null, 'disk', 1],
    [64 * gibibyte, 's3', 1],
    [100 * gibibyte, 's3', 2],
    [null, 's3', 8],
  ];
  for (const [sizeBytes, kind, stripes] of cases) {
    assert.equal(planStripes(sizeBytes, kind), stripes, `${sizeBytes} ${kind}`);
  }
  // No object may come near the 100,000 MB that 10,000 parts of the usual size hold.
  for (let sizeBytes = gibibyte; sizeBytes < 4 * 1024 * gibibyte; sizeBytes *= 1.3) {
    assert.ok(sizeBytes / planStripes(sizeBytes, 's3') < 70 * gibibyte);
  }
});
