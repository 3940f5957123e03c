import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MasterKey } from '../platform/master-key.ts';
import { exitCodes } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { LocalActions } from './program.ts';
import { runCommandLine } from './program.ts';

async function exportKit(isTerminal: boolean, ...args: string[]) {
  const key = MasterKey.generate();
  let printed = '';
  const print = (text: string): void => {
    printed += text;
  };
  const local: Partial<LocalActions> = {
    readMasterKey: async () => key,
    findRepository: async () => ({ id: 'r', location: 'l' }),
  };
  const output: Output = {
    ...{ exitCode: 0, isTerminal, print, complain: print },
    ...{ json: () => undefined, table: () => undefined, facts: () => undefined },
    progress: () => ({ update: () => undefined, stop: () => undefined }),
  };
  const program = {
    environment: {},
    clock: { now: () => new Date(0), monotonicMs: () => 0, sleep: async () => undefined },
    local: async () => local as LocalActions,
  };
  const exitCode = await runCommandLine(['key', 'export', ...args], program, output);
  const [firstGroup = ''] = key.reveal().match(/.{4}/g) ?? [];
  return { exitCode, printed, holdsKey: printed.includes(` 1  ${firstGroup} `) };
}

test('the recovery kit goes to a file or a printer, to a screen only when told so', async () => {
  const piped = await exportKit(false);
  assert.deepEqual([piped.exitCode, piped.holdsKey], [exitCodes.ok, true]);
  const shown = await exportKit(true);
  assert.deepEqual([shown.exitCode, shown.holdsKey], [exitCodes.usage, false]);
  assert.match(shown.printed, /--yes/);
  assert.equal((await exportKit(true, '--yes')).holdsKey, true);
});
