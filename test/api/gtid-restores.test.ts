// Restores of MySQL to a transaction, and with transactions left out, from the request to the job.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiApp } from '../../src/api/api-parts.ts';
import { createApiServer } from '../../src/api/server.ts';
import type { Backup } from '../../src/model/backup.ts';
import type { LogStreamId } from '../../src/model/ids.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import { jobKinds, parseRestorePayload } from '../../src/operations/job-payloads.ts';
import { describeRecovery } from '../../src/operations/restore/recovery-result.ts';
import { completed } from '../fixtures/catalog-values.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
let app: ApiApp;
let backup: Backup;

const at = (file: string, offsetBytes: number, gtidSet: string): LogPosition => ({
  ...{ engine: 'mysql', file, offsetBytes, gtidSet },
});
const start = at('bin.000004', 337_537, '0-11-8179');
const end = at('bin.000006', 900, '0-11-10245');
const instanceFacts = { engine: 'mysql', serverVersion: '10.11.19-MariaDB' } as const;

before(async () => {
  scene = await openApiScene();
  app = createApiServer({ ...scene.parts, engines: { mysql: scene.driver } });
  await app.ready();
  const instance = await scene.addInstance(instanceFacts);
  const nowMs = scene.clock.now().getTime();
  const state = { ...completed(nowMs - 60_000), startPosition: start, stopPosition: start };
  backup = await scene.addBackup(instance, { state });
  const beganAt = new Date(nowMs - 90_000);
  await scene.catalog.logStreams.insert({
    ...{ id: 'stream-1' as LogStreamId, projectId: testProjectId, instanceId: instance.id },
    ...{ engine: 'mysql', systemIdentifier: '1', beganAt, updatedAt: beganAt },
    ...{ startPosition: at('bin.000004', 4, ''), keptFrom: at('bin.000004', 4, '') },
    state: { status: 'following' },
    progress: {
      covered: { position: end, at: new Date(nowMs - 1000) },
      ...{ closed: null, behindBytes: 0, warning: null, trouble: null },
    },
  });
});
after(async () => {
  await app.close();
  await scene[Symbol.asyncDispose]();
});

let names = 0;
const restore = async (point: object, from: Pick<ApiScene, 'token'> = scene) =>
  await app.inject({
    ...{ method: 'POST', url: scene.rds('/instances') },
    headers: { 'x-auth-token': from.token, 'content-type': 'application/json' },
    payload: JSON.stringify({
      name: `restored-${++names}`,
      restore_point: { instance_id: backup.instanceId, ...point },
    }),
  });

test('the job is told the transaction, the log, and what is left out', async () => {
  const recovery_target = { kind: 'gtid', value: '0-11-10246', exclusive: true };
  const beyond = await restore({ recovery_target });
  assert.deepEqual([beyond.statusCode, beyond.json().error_code], [400, 'DBS.280001']);
  assert.match(beyond.json().error_msg, /from 0-11-8179 to 0-11-10245/);
  const accepted = await restore({
    recovery_target: { ...recovery_target, value: '0-11-10240' },
    skipped_transactions: ['0-11-9000', '0-11-9000', '0-11-9001'],
  });
  assert.equal(accepted.statusCode, 202, accepted.body);
  const job = await scene.catalog.jobs.find(testProjectId, accepted.json().job_id);
  assert.ok(job);
  const { recovery, backupId } = parseRestorePayload(job.payload);
  assert.equal(backupId, backup.id);
  assert.deepEqual(recovery, {
    target: { kind: 'gtid', gtid: '0-11-10240', isInclusive: false },
    skippedTransactions: ['0-11-9000', '0-11-9001'],
    log: { streamId: 'stream-1', until: end },
    newestTimeline: 1,
  });
});

test('what cannot be meant is refused', async () => {
  const cases: readonly [object, RegExp][] = [
    [{ recovery_target: { kind: 'gtid', value: '0-11' } }, /must be a global transaction id/],
    [
      { recovery_target: { kind: 'gtid', value: '0-11-9000', timeline: 2 } },
      /timeline does not go/i,
    ],
    [{ recovery_target: { kind: 'position', value: '16/B374D848' } }, /must be a place/],
    [{ recovery_target: { kind: 'lsn', value: '16/B374D848' } }, /no position in the log of MySQL/],
    [{ recovery_target: { kind: 'latest', timeline: 2 } }, /no timelines/],
    [{ backup_id: 'x', skipped_transactions: ['0-11-9000'] }, /left out of what is replayed/],
    [
      { recovery_target: { kind: 'latest' }, skipped_transactions: ['all'] },
      /skipped_transactions/,
    ],
    [{ recovery_target: { kind: 'latest' }, skipped_transactions: Array(101).fill('0-1-1') }, /./],
  ];
  for (const [point, text] of cases) {
    const response = await restore({ backup_id: backup.id, ...point });
    assert.equal(response.statusCode, 400, response.body);
    assert.match(response.json().error_msg, text, JSON.stringify(point));
  }
});

test('of PostgreSQL neither can be asked for', async () => {
  const other = await scene.addInstance();
  await scene.addBackup(other);
  for (const [point, text] of [
    [{ recovery_target: { kind: 'gtid', value: '0-11-9000' } }, /log of PostgreSQL cannot/],
    [
      { recovery_target: { kind: 'latest' }, skipped_transactions: ['0-11-9000'] },
      /PostgreSQL cannot leave transactions out/,
    ],
  ] as const) {
    const response = await restore({ instance_id: other.id, ...point });
    assert.deepEqual([response.statusCode, response.json().error_code], [400, 'DBS.280001']);
    assert.match(response.json().error_msg, text);
  }
});

test('the report names the transaction that replay has stopped before', async () => {
  const statement = `DROP TABLE ${'x'.repeat(2000)}`;
  const target = { kind: 'time', at: new Date(5), timeline: null, isInclusive: true } as const;
  const recovery = { target, skippedTransactions: ['0-11-9000'], log: null, newestTimeline: 1 };
  const transaction = { id: '0-11-10246', statement, isReplayed: false };
  const report = describeRecovery(
    { backupId: backup.id, recovery },
    { position: end, timeline: null, lastCommitAt: new Date(4), transaction },
  );
  const job = await insertJob(scene, { kind: jobKinds.restore, instanceId: backup.instanceId });
  await scene.catalog.jobs.setResult(job.id, report);
  const show = async () =>
    (await scene.call('GET', scene.cairn(`/jobs/${job.id}`))).json().job.result;
  assert.deepEqual(await show(), {
    ...{ kind: 'restore', backup_id: backup.id, log_stream_id: null },
    ...{ target: '1970-01-01T00:00:00.005Z', position: 'mysql:bin.000006:900:0-11-10245' },
    ...{ timeline: null, last_commit_time: 4 },
    transaction: {
      ...{ id: '0-11-10246', statement: `${statement.slice(0, 1000)}…`, replayed: false },
    },
    skipped_transactions: ['0-11-9000'],
  });
  // One that an earlier version has stored says nothing of them.
  const { transaction: _, skippedTransactions: __, ...older } = report;
  await scene.catalog.jobs.setResult(job.id, older);
  const shown = await show();
  assert.deepEqual([shown.transaction, shown.skipped_transactions], [null, []]);
});
