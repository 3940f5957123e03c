import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { runCommand } from '../../platform/child-process.ts';
import { formatFetchScript, formatRestoreCommand } from './wal-script.ts';

const silenceSeconds = 1;
let folder: string;
let spool: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn's 50% wal-"));
  spool = join(folder, 'spool');
  for (const name of ['ready', 'asked']) await mkdir(join(spool, name), { recursive: true });
  await writeFile(join(spool, 'planned'), '000000010000000000000003\n00000002.history\n');
  await writeFile(join(spool, 'alive'), '0\n');
  await writeFile(join(folder, 'fetch.sh'), formatFetchScript(spool, silenceSeconds));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** As the server runs it. */
async function run(name: string): Promise<number> {
  const command = formatRestoreCommand(join(folder, 'fetch.sh'))
    .replaceAll('%%', '\0')
    .replace('%f', name)
    .replace('%p', `'${join(folder, 'target').replaceAll("'", "'\\''")}'`)
    .replaceAll('\0', '%');
  const result = await runCommand('/bin/sh', ['-c', command], { timeoutMs: 20_000 });
  return result.exitCode;
}
const planned = '000000010000000000000003';

describe('the script that hands log to a server', () => {
  test('moves a file that lies ready', async () => {
    await writeFile(join(spool, 'ready', planned), 'log');
    assert.equal(await run(planned), 0);
    assert.equal(await readFile(join(folder, 'target'), 'utf8'), 'log');
    assert.ok(!existsSync(join(spool, 'ready', planned)));
  });
  test('says that a file is absent when, and only when, it is not planned', async () => {
    for (const name of [
      '00000003.history',
      '000000010000000000000004',
      '00000001000000000000000',
    ]) {
      assert.equal(await run(name), 1);
    }
  });
  test('asks for a planned file and waits for it', async () => {
    const running = run(planned);
    while (!existsSync(join(spool, 'asked', planned))) await new Promise(setImmediate);
    await writeFile(join(spool, 'ready', planned), 'later');
    assert.equal(await running, 0);
    assert.equal(await readFile(join(folder, 'target'), 'utf8'), 'later');
    assert.ok(!existsSync(join(spool, 'asked', planned)));
  });
  test('ends the recovery when the archive cannot be read', async () => {
    await writeFile(join(spool, 'failed'), '');
    assert.ok((await run(planned)) > 125);
  });
  test('ends the recovery when whoever reads the archive is dead', async () => {
    const beganMs = performance.now();
    assert.ok((await run(planned)) > 125);
    assert.ok(performance.now() - beganMs >= silenceSeconds * 900, 'it waited for a sign of life');
  });
  test('waits as long as there are signs of life', async () => {
    let beat = 0;
    const heart = setInterval(() => void writeFile(join(spool, 'alive'), `${++beat}\n`), 200);
    const running = run(planned);
    await new Promise((resolve) => setTimeout(resolve, silenceSeconds * 2000));
    clearInterval(heart);
    await writeFile(join(spool, 'ready', planned), 'late');
    assert.equal(await running, 0);
  });
  test('ends the recovery when nobody can tell what is planned', async () => {
    await rm(join(spool, 'planned'));
    assert.ok((await run('00000003.history')) > 125);
  });
});
