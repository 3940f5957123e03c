// An instance of MariaDB that writes no binary log: it is backed up and restored, and that its log
// cannot be archived is said calmly, where people look for it.
import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { test } from 'node:test';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register, showInstance } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

test('a server without a binary log is backed up, and its log is waited for', async () => {
  await using server = await startMariadb({ settings: { 'skip-log-bin': '1' } });
  await using service = await startService({ versions: [] });
  await chmod(service.folder, 0o755);
  const instanceId = await register(service, server.url, 'maria');
  const backup = await backUp(service, instanceId, 'first');
  assert.deepEqual([backup.start_position, backup.stop_position], [null, null]);

  const policy = ['policy', 'set', 'maria', '--keep-days', '3', '--at', distantWindow()];
  assert.equal((await service.cli(...policy)).exitCode, 0);
  const linesOf = (text: string): string[] =>
    service.log.split('\n').filter((line) => line.includes(text));
  const shown = await until('it is told what is missing', async () => {
    const archive = (await showInstance(service, 'maria')).log_archive;
    return archive?.trouble ? archive : null;
  });
  assert.equal(shown.status, 'waiting');
  assert.match(shown.trouble?.message ?? '', /log_bin is off/);
  assert.match(shown.trouble?.hint ?? '', /set log_bin and a server_id/);

  // It is tried again after one second, then two.
  await new Promise((done) => setTimeout(done, 4500));
  const said = linesOf('the log is not archived for now');
  assert.equal(said.length, 1, said.join('\n'));
  assert.match(said[0] ?? '', /set log_bin and a server_id/);
  assert.doesNotMatch(said[0] ?? '', /"stack"/);
});

/** Backups that the hour brings are none of this test's. */
function distantWindow(): string {
  return new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
}
