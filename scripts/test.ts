// Runs everything that must hold: types, format and lint, then every test. Arguments choose test
// files.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const fileTimeoutMs = 15 * 60_000;
/** On two cores: while one file waits for a server, another works. */
const concurrency = 3;

function run(program: string, args: readonly string[]): void {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

// Compiled code is kept: every test file and every command that it starts begins sooner.
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/cairn');

const chosen = process.argv.slice(2);
if (chosen.length === 0) {
  run(join(bin, 'tsc'), ['--noEmit']);
  run(join(bin, 'biome'), ['check', '--error-on-warnings', '.']);
}
const files = chosen.length > 0 ? chosen : globSync('{src,test}/**/*.test.ts', { cwd: root });
run(process.execPath, [
  '--disable-warning=ExperimentalWarning',
  '--test',
  `--test-concurrency=${concurrency}`,
  `--test-timeout=${fileTimeoutMs}`,
  '--test-reporter=spec',
  ...files.sort(),
]);
