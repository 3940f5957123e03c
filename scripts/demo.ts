// The whole story in about a minute: a PostgreSQL 18 with data, a backup by one API call, a second
// one after a small change, a restore to a new running server, and the proof that both hold the
// same. Everything is real: the service is `cairn serve`, the calls are HTTP. DEMO_ONCE=1 leaves
// after the report, with 0 only if all agree.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import type {
  BackupDetailWire,
  BackupListWire,
  CreateBackupResponse,
} from '../src/api/schema/backup.ts';
import { followJob } from '../src/cli/follow-job.ts';
import type { Output } from '../src/cli/output.ts';
import { createOutput } from '../src/cli/output.ts';
import { ServiceClient } from '../src/cli/service-client.ts';
import { formatBytes, formatDuration } from '../src/model/units.ts';
import { systemClock } from '../src/platform/clock.ts';
import { untilAborted } from '../src/platform/deadline.ts';
import { untilFired } from '../src/platform/shutdown.ts';
import { findBinDir, findFreePort, startPostgres } from '../test/fixtures/postgres-server.ts';

const root = resolve(import.meta.dirname, '..');
const output = createOutput({ out: process.stdout, error: process.stderr });
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

type Scene = {
  readonly service: ServiceClient;
  readonly token: string;
  readonly instanceId: string;
};
type Timed<T> = { readonly value: T; readonly spanMs: number };

function say(text: string): void {
  output.print(`\n\u001b[1m${text}\u001b[0m\n`);
}

/** Ctrl-C ends the step at once; what was begun is cleaned up by the stack in `main`. */
async function timed<T>(work: () => Promise<T>): Promise<Timed<T>> {
  const beganMs = performance.now();
  const value = await untilAborted(work(), interrupted.signal);
  return { value, spanMs: performance.now() - beganMs };
}

async function main(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-demo-'));
  await chmod(folder, 0o711);
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));

  say('1. A PostgreSQL 18 with about 200 MB of data');
  const source = cleaning.use(await startPostgres({ version: '18' }));
  await source.query(await readFile(join(import.meta.dirname, 'demo-data.sql'), 'utf8'));
  output.print(`it runs at 127.0.0.1:${source.port}\n`);

  say('2. Cairn, on a fresh folder');
  const dataDir = join(folder, 'cairn');
  const serve = await startService(dataDir);
  cleaning.defer(() => stopService(serve));
  const service = await ServiceClient.open({ dataDir, environment: {} });
  const { instance } = await service.cairn<{ instance: { id: string } }>('POST', '/instances', {
    ...{ name: 'shop', url: source.url },
  });
  output.print(`registered the server as ${instance.id}\n`);
  const scene = { service, token: (await service.token()).reveal(), instanceId: instance.id };

  say('3. The create-backup call');
  const first = await timed(() => backUp(scene, 'first-backup', { show: true }));
  say('4. A small change (1 % of the orders), and a second backup');
  await source.query("update orders set status = 'shipped' where id between 5001 and 10000");
  const second = await timed(() => backUp(scene, 'second-backup', { show: false }));
  await listBackups(service);
  const { stored_bytes: storedBytes = 0, logical_bytes: logicalBytes = 0 } =
    second.value.totals ?? {};
  output.print(
    `\nThe second backup is whole (${formatBytes(logicalBytes)}) and added ` +
      `${formatBytes(storedBytes)} to the storage.\n`,
  );

  say('5. Restore to a new running server');
  const restored = await timed(() => restore(scene, second.value.id));
  cleaning.defer(() => removeRestored(service, restored.value.id));

  say('6. The same data?');
  const agree = await compare(source.url, restored.value.url);

  say('Report');
  report({ first, second, restored, agree });
  if (!process.env['DEMO_ONCE'] && agree) {
    output.print(`\nCairn's API stays up at ${service.endpoint} until Ctrl-C.\n`);
    output.print(`Look around:  export CAIRN_CREDENTIALS=${join(dataDir, 'credentials.json')}\n`);
    output.print('              ./cairn backup list   ./cairn instance list   ./cairn job list\n');
    await untilFired(interrupted.signal);
  }
  return agree;
}

async function startService(dataDir: string): Promise<ChildProcess> {
  const port = await findFreePort();
  const child = spawn(
    join(root, 'cairn'),
    ['serve', '--data', dataDir, '--listen', `127.0.0.1:${port}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      // Its own group: Ctrl-C reaches the demo, which stops the service in order.
      detached: true,
      env: {
        ...process.env,
        // Every step is shown: nothing happens by itself, whatever the hour.
        CAIRN_DEFAULT_KEEP_DAYS: '0',
        CAIRN_LOG_LEVEL: process.env['CAIRN_LOG_LEVEL'] ?? 'error',
        CAIRN_POSTGRESQL_BIN_DIRS: await findBinDir('18'),
      },
    },
  );
  child.stdout?.setEncoding('utf8');
  await new Promise<void>((ready, failed) => {
    child.once('exit', (code) => failed(new Error(`cairn serve ended with code ${code}`)));
    child.stdout?.on('data', (text: string) => {
      output.print(text);
      if (text.includes('listens on')) ready();
    });
  });
  return child;
}

async function stopService(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await new Promise((done) => child.once('exit', done));
}

async function backUp(
  { service, token, instanceId }: Scene,
  name: string,
  { show }: { readonly show: boolean },
): Promise<BackupDetailWire> {
  const url = `${service.endpoint}/v3/${service.projectId}/backups`;
  const body = { instance_id: instanceId, name, description: 'made by the demo' };
  if (show) {
    output.print(
      `curl -X POST ${url} \\\n  -H 'X-Auth-Token: ${token}' \\\n` +
        `  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'\n\n`,
    );
  }
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'X-Auth-Token': token, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as CreateBackupResponse;
  if (show) output.print(`${response.status}\n${JSON.stringify(answer, null, 2)}\n\n`);
  await followJob(service, answer.job_id, { output, clock: systemClock });
  const path = `/backups/${answer.backup.id}`;
  return (await service.cairn<{ backup: BackupDetailWire }>('GET', path)).backup;
}

async function listBackups(service: ServiceClient): Promise<void> {
  const { backups } = await service.cairn<BackupListWire>('GET', '/backups');
  const rows: string[][] = [['ID', 'NAME', 'STATUS', 'WHOLE', 'NEW PAGES', 'STORED']];
  for (const { id } of backups) {
    const path = `/backups/${id}`;
    const { backup } = await service.cairn<{ backup: BackupDetailWire }>('GET', path);
    const { logical_bytes = 0, new_bytes = 0, stored_bytes = 0 } = backup.totals ?? {};
    const sizes = [logical_bytes, new_bytes, stored_bytes].map(formatBytes);
    rows.push([id, backup.name, backup.status, ...sizes]);
  }
  output.print('\n');
  output.table(rows);
}

type Restored = { readonly id: string; readonly url: string };

async function restore({ service, instanceId }: Scene, backupId: string): Promise<Restored> {
  const restorePoint = { instance_id: instanceId, type: 'backup', backup_id: backupId };
  const body = { name: 'shop-restored', restore_point: restorePoint };
  const answer = await service.rds<{ job_id: string; instance: { id: string } }>(
    ...(['POST', '/instances', body] as const),
  );
  await followJob(service, answer.job_id, { output, clock: systemClock });
  const { id } = answer.instance;
  const path = `/instances/${id}`;
  const { instance } = await service.cairn<{ instance: { host: string; port: number } }>(
    'GET',
    path,
  );
  output.print(`it runs at ${instance.host}:${instance.port}\n`);
  return { id, url: `postgres://${instance.host}:${instance.port}` };
}

async function removeRestored(service: ServiceClient, id: string): Promise<void> {
  const { job_id } = await service.rds<{ job_id: string }>('DELETE', `/instances/${id}`);
  const silent = { update: () => undefined, stop: () => undefined };
  const quiet: Output = { ...output, progress: () => silent };
  await followJob(service, job_id, { output: quiet, clock: systemClock });
}

/** Row count and a checksum over every row, per table, on both servers. */
async function compare(sourceUrl: string, restoredUrl: string): Promise<boolean> {
  const target = new URL(sourceUrl);
  const { hostname, port } = new URL(restoredUrl);
  Object.assign(target, { hostname, port });
  const [before, after] = await Promise.all([checksums(sourceUrl), checksums(target.href)]);
  const rows = [...before].map(([table, sum]) => {
    const same = after.get(table) === sum;
    return [table, sum, after.get(table) ?? 'missing', same ? 'same' : 'DIFFERENT'];
  });
  output.table([['TABLE', 'SOURCE (rows, checksum)', 'RESTORED', ''], ...rows]);
  return before.size === after.size && rows.every(([, , , verdict]) => verdict === 'same');
}

async function checksums(url: string): Promise<Map<string, string>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query(
      "select tablename from pg_tables where schemaname = 'public' order by 1",
    );
    const sums = new Map<string, string>();
    for (const { tablename } of tables.rows) {
      const { rows } = await client.query(
        `select count(*) as n, sum(hashtextextended(t::text, 0)) as sum from "${tablename}" t`,
      );
      sums.set(tablename, `${rows[0].n}, ${rows[0].sum}`);
    }
    return sums;
  } finally {
    await client.end();
  }
}

function report(facts: {
  readonly first: Timed<BackupDetailWire>;
  readonly second: Timed<BackupDetailWire>;
  readonly restored: Timed<Restored>;
  readonly agree: boolean;
}): void {
  const { first, second, restored, agree } = facts;
  const stored = (backup: BackupDetailWire): string =>
    formatBytes(backup.totals?.stored_bytes ?? 0);
  output.facts([
    ['database', formatBytes(second.value.totals?.logical_bytes ?? 0)],
    ['first backup', `${formatDuration(first.spanMs)}, stored ${stored(first.value)}`],
    ['second backup', `${formatDuration(second.spanMs)}, stored ${stored(second.value)}`],
    ['restore to a running server', formatDuration(restored.spanMs)],
    ['data', agree ? 'the same in every table' : 'DIFFERENT'],
  ]);
}

process.exitCode = await main().then(
  (agree) => (agree ? 0 : 1),
  (error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    output.complain(interrupted.signal.aborted ? 'demo: interrupted\n' : `demo: ${text}\n`);
    return 1;
  },
);
