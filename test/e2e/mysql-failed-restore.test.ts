// A restore of MariaDB that fails midway: what it has written does not stay, but for the logs that
// say why.
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { backupProgram } from '../fixtures/mariadb-physical.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register, showInstance } from '../fixtures/service-calls.ts';

test('files that could not be prepared go, and the log of the program stays', async () => {
  await using server = await startMariadb();
  const binDir = join(server.homeDir, 'bin');
  await mkdir(binDir, { mode: 0o755 });
  const lines = [
    '#!/bin/bash',
    'if [[ " $* " == *" --prepare "* ]]; then echo "no space" >&2; exit 1; fi',
    `exec ${backupProgram} "$@"`,
  ];
  await writeFile(join(binDir, 'mariadb-backup'), `${lines.join('\n')}\n`, { mode: 0o755 });
  await using service = await startService({
    versions: [],
    environment: { CAIRN_MYSQL_BIN_DIRS: binDir },
  });
  await chmod(service.folder, 0o755);
  const instanceId = await register(service, server.url, 'maria');
  const { id } = await backUp(service, instanceId, 'first');
  const restored = await service.cli('restore', '--backup', id, '--new-instance', 'copy');
  assert.notEqual(restored.exitCode, 0);
  assert.match(restored.stderr, /was not prepared \(exit code 1\): no space/);
  const { instance } = await showInstance(service, 'copy');
  assert.equal(instance.status, 'create-failed');
  const left = await readdir(join(service.dataDir, 'servers', instance.id));
  assert.deepEqual(left, ['prepare.log']);
});
