// A service that knows a primary and its standby: what it shows of them, and that the log of the
// instance goes on without a gap when the primary dies and the standby takes over.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { ShownInstanceWire } from '../../src/api/schema/log-archive.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { createEngineScene } from '../fixtures/engine-scene.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { untilFullBackup } from '../fixtures/service-calls.ts';
import type { ServerPair } from '../fixtures/standby-pair.ts';
import { killHard, startPair } from '../fixtures/standby-pair.ts';
import { until } from '../fixtures/until.ts';

const stack = new AsyncDisposableStack();
let scene: EngineScene;
let pair: ServerPair;
let service: TestService;

before(async () => {
  scene = stack.use(await createEngineScene(['18']));
  pair = stack.use(await startPair(scene));
  service = stack.use(await startService({ versions: ['18'] }));
});
after(() => stack.disposeAsync());

async function show(): Promise<ShownInstanceWire> {
  const listed = await service.request<{ instances: { id: string }[] }>(
    'GET',
    '/cairn/v1/{p}/instances',
  );
  const id = listed.body.instances[0]?.id;
  return (await service.request<ShownInstanceWire>('GET', `/cairn/v1/{p}/instances/${id}`)).body;
}

async function cairn(...args: string[]): Promise<string> {
  const result = await service.cli(...args);
  assert.equal(result.exitCode, 0, result.stderr);
  return result.stdout + result.stderr;
}

/** A moment after now by the server's clock is covered. */
async function untilCovered(): Promise<void> {
  const nowMs = Date.now();
  await until('what was written is covered', async () => {
    const coveredUntil = (await show()).log_archive?.covered_until;
    return coveredUntil && new Date(coveredUntil.replace('+0000', 'Z')).getTime() > nowMs;
  });
}

suite('an instance with a standby', () => {
  test('is registered with both, and shown with what they are', async () => {
    const { primary, standby } = pair;
    const address = `127.0.0.1:${standby.port}`;
    const added = await cairn(
      ...['instance', 'add', '--name', 'shop', '--url', primary.url, '--standby', address],
    );
    assert.match(added, new RegExp(`${address} is a standby, 0 s behind`));
    const shown = await show();
    assert.deepEqual(shown.instance.standbys, [{ host: '127.0.0.1', port: standby.port }]);
    assert.deepEqual(
      shown.hosts?.map(({ role }) => role),
      ['primary', 'standby'],
    );
    const text = await cairn('instance', 'show', 'shop');
    assert.match(text, new RegExp(`server: +${address} standby, 0 s behind`));
    assert.match(await cairn('instance', 'check', 'shop'), /is the primary, on timeline 1/);
  });

  test('has one gap-free log when the standby takes over', async () => {
    const hour = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
    await cairn('policy', 'set', 'shop', '--keep-days', '3', '--at', hour);
    await until('it is followed', async () => (await show()).log_archive?.status === 'following');
    await untilFullBackup(service, (await show()).instance.id);
    await pair.primary.query("insert into ledger values (1, 'before')");
    await untilCovered();
    const before = (await show()).log_archive;
    await killHard(pair.primary);
    await pair.standby.query('select pg_promote()');
    await pair.standby.query("insert into ledger values (2, 'after')");
    await untilCovered();
    const { log_archive: now, hosts } = await show();
    assert.equal(now?.stream_id, before?.stream_id, 'it is the same stream');
    assert.equal(now?.last_gap, null);
    assert.match(now?.stored_position ?? '', /^postgresql:2:/);
    assert.deepEqual(
      hosts?.map(({ role }) => role),
      ['unknown', 'primary'],
    );
    await cairn('backup', 'create', '--instance', 'shop', '--name', 'after-failover', '--wait');
  });
});
