import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { explainServerLog } from './server-log.ts';

const stamp = '2026-11-25  0:57:14 0';
const unknownOption = `${stamp} [Warning] mariadbd: unknown option '--loose-mysqlx=OFF'`;

async function hintOf(...lines: string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-server-log-'));
  try {
    const path = join(folder, 'server.log');
    await writeFile(path, `${lines.join('\n')}\n`);
    return (await explainServerLog(path)).hint;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a server that had no room for its files says so', async () => {
  const full =
    'InnoDB: preallocating 100663296 bytes for file ./ib_logfile101 failed with error 28';
  const hint = await hintOf(unknownOption, `${stamp} [ERROR] ${full}`, `${stamp} [ERROR] Aborting`);
  assert.match(hint, /^the disk of the new server is full/);
});

test('only a setting that ended the server is named as the reason', async () => {
  const fatal = `${stamp} [ERROR] /usr/sbin/mariadbd: unknown variable 'innodb_nothing=1'`;
  assert.match(await hintOf(fatal, `${stamp} [ERROR] Aborting`), /^remove the setting/);
  assert.match(await hintOf(unknownOption, `${stamp} [ERROR] Aborting`), /^the whole log is/);
});
