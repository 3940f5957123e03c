// Random stories, told to the real repository and to a model of it. CAIRN_MODEL_SECONDS says how
// long (60), CAIRN_MODEL_SEED which one; a failure prints the seed and the shortest story found.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemRandom } from '../../src/platform/random.ts';
import { pastFailures } from './past-failures.ts';
import type { StoryResult } from './replay.ts';
import { runSeed, runStory, shrink } from './replay.ts';

const seconds = Number(process.env['CAIRN_MODEL_SECONDS'] ?? 60);
const seedAsked = process.env['CAIRN_MODEL_SEED'];
/** A new world now and then: one that has grown old is slow to check. */
const operationsPerSeed = 3000;
const shrinkMs = 60_000;

async function report(seed: number, { count, failure }: StoryResult): Promise<void> {
  if (!failure) return;
  const foundMs = Math.round(performance.now());
  const shrinkUntilMs = foundMs + shrinkMs;
  const short = await shrink(failure, () => performance.now() < shrinkUntilMs);
  const story = short.operations.map((operation) => JSON.stringify(operation)).join('\n');
  const when = `fails at operation ${count}, found after ${foundMs} ms`;
  const how = `CAIRN_MODEL_SEED=${seed} ${when}; it takes:`;
  assert.fail(
    `${how}\n${story}\n${short.error instanceof Error ? short.error.stack : short.error}`,
  );
}

describe('the repository does what the model does', () => {
  for (const { what, operations } of pastFailures) {
    it(`when ${what}, where it once did not`, async () => {
      const { failure } = await runStory(operations);
      assert.ifError(failure?.error);
    });
  }

  it(`for ${seconds} s`, async (test) => {
    const endMs = performance.now() + seconds * 1000;
    const isLate = (): boolean => performance.now() >= endMs;
    const first = seedAsked ? Number(seedAsked) : systemRandom.bytes(4).readUInt32LE();
    let operationCount = 0;
    let seed = first;
    for (; !isLate(); seed++) {
      const result = await runSeed(seed, (done) => done >= operationsPerSeed || isLate());
      operationCount += result.count;
      await report(seed, result);
    }
    const text = `seeds ${first} to ${seed - 1}, ${operationCount} operations`;
    test.diagnostic(text);
    assert.ok(operationCount > 0, 'nothing was tried');
  });
});
