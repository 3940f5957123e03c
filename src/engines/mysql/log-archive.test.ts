import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { createConnection } from 'mysql2';
import type { Connection } from '../../model/instance.ts';
import { Secret } from '../../model/secret.ts';
import { systemClock } from '../../platform/clock.ts';
import { replicaId } from './log-archive.ts';
import { explainDumpError } from './log-errors.ts';
import { countBehind, planWarning, probeServer } from './log-probe.ts';

test('what the dump takes of mysql2 is there, in the version that it was written for', async () => {
  const root = join(import.meta.dirname, '../../..');
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  assert.match(dependencies.mysql2, /^\d+\.\d+\.\d+$/);
  const client = createConnection({ host: '127.0.0.1', port: 1 });
  client.on('error', () => undefined);
  for (const name of ['addCommand', 'writePacket', '_resetSequenceId', 'pause', 'resume']) {
    assert.equal(typeof (client as unknown as Record<string, unknown>)[name], 'function', name);
  }
  client.destroy();
});

test('our id among the replicas is stable, and never that of the server', () => {
  const id = replicaId('cairn_a', 11);
  assert.ok(id >= 0x8000_0000 - 1 && id < 2 ** 32);
  assert.equal(replicaId('cairn_a', 12), id);
  assert.notEqual(replicaId('cairn_b', 11), id);
  assert.notEqual(replicaId('cairn_a', id), id);
});

suite('lag and danger', () => {
  const files = ['bin.000001', 'bin.000002', 'bin.000003'].map((name) => ({
    name,
    sizeBytes: 1000,
  }));
  const week = 7 * 86_400;

  test('bytes are counted over all files behind the stored one', () => {
    const end = { file: 'bin.000003', offsetBytes: 400 };
    assert.equal(countBehind(files, end, { file: 'bin.000003', offsetBytes: 400 }), 0);
    assert.equal(countBehind(files, end, { file: 'bin.000001', offsetBytes: 900 }), 1500);
    assert.equal(countBehind(files, end, { file: 'bin.000000', offsetBytes: 900 }), 2400);
  });

  test('the oldest file is the next to be purged', () => {
    const warning = planWarning(files, { file: 'bin.000001' }, week);
    assert.match(warning?.message ?? '', /bin\.000001, .* is the oldest/);
    assert.equal(planWarning(files, { file: 'bin.000002' }, week), null);
    assert.equal(planWarning(files.slice(0, 2), { file: 'bin.000001' }, null), null);
    assert.match(planWarning(files, { file: 'bin.000003' }, 3600)?.message ?? '', /after 1 hours/);
  });
});

test('a log that was reset proves nothing of what was sent before', async () => {
  const ends = [700, 815, 815, 756];
  const moments: unknown[] = [];
  const looking = probeServer(
    async (sql) => {
      if (/utc_timestamp/.test(sql)) return [{ now: '2026-01-05 03:30:00.000000', dumps: 1 }];
      return /master status/i.test(sql) ? [{ File: 'bin.000001', Position: ends.shift() }] : [];
    },
    {
      ...{ flavor: 'mariadb', threadId: 7, intervalMs: 1, clock: systemClock },
      end: { file: 'bin.000001', offsetBytes: 600 },
      storedPosition: () => ({ file: 'bin.000001', offsetBytes: 0 }),
      onMoment: ({ offsetBytes }) => void moments.push(offsetBytes),
      onLag: () => undefined,
      signal: AbortSignal.timeout(30_000),
    },
  );
  await assert.rejects(looking, /ended at bin\.000001:815, and now does at bin\.000001:756/);
  assert.deepEqual(moments, [700, 815, 815]);
});

suite('what the server says of its log', () => {
  const connection: Connection = {
    ...{ host: 'h', port: 3306, standbys: [], database: '', user: 'reader' },
    ...{ password: new Secret('very-secret'), tls: 'disable', tlsCaPem: null },
  };
  const explain = (errno: number, text: string, hasFollowed = false) =>
    explainDumpError(Object.assign(new Error(text), { errno }), {
      ...{ connection, hasFollowed, storedPlace: 'bin.000004:120' },
    });

  test('gaps are told from what may go on', () => {
    const first = 'Could not find first log file name in binary log index file';
    const position = 'Client requested master to start replication from impossible position';
    const bogus = 'bogus data in log event; the first event';
    assert.equal(explain(1236, first).kind, 'log-gap');
    assert.equal(explain(1236, position).kind, 'log-gap');
    assert.equal(explain(1236, bogus).kind, 'log-gap');
    assert.equal(explain(1236, bogus, true).kind, 'engine-refused');
    assert.equal(explain(1236, 'error reading log entry').kind, 'engine-refused');
    assert.equal(explain(1927, 'Connection was killed').kind, 'engine-unreachable');
    const twin = 'A slave with the same server_uuid/server_id is already connected';
    assert.equal(explain(4052, twin).kind, 'engine-unreachable');
  });

  test('the right is named, and the password is not', () => {
    const { kind, message, hint } = explain(1227, 'Access denied for very-secret');
    assert.equal(kind, 'engine-refused');
    assert.equal(hint, 'GRANT REPLICATION SLAVE ON *.* TO reader');
    assert.doesNotMatch(message, /very-secret/);
  });
});
