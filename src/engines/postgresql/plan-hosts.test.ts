import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { HostLook, PrimaryLook, StandbyLook } from './host-look.ts';
import { describeHosts } from './host-look.ts';
import { planHostFindings } from './inspect-hosts.ts';
import { planBackupHosts, planLogHost } from './plan-hosts.ts';

const MiB = 1024n * 1024n;
const flushedLsn = 1000n * MiB;

function at(name: string, found: HostLook['found']): HostLook {
  const connection: Connection = {
    ...{ host: name, port: 5432, standbys: [], database: 'd', user: 'u', password: null },
    ...{ tls: 'prefer', tlsCaPem: null },
  };
  return { connection, name, found };
}

const answer = { systemIdentifier: '7', timeline: 1, hasSlotRoom: true, hasSlot: false };

const primary = (name: string, changes: Partial<PrimaryLook> = {}): HostLook =>
  at(name, { kind: 'primary', flushedLsn, ...answer, ...changes });

const standby = (name: string, changes: Partial<StandbyLook> = {}): HostLook =>
  at(name, {
    ...{ kind: 'standby', isStreaming: true, receivedLsn: flushedLsn, replayedLsn: flushedLsn },
    ...{ replayedAgoMs: 3_600_000, ...answer, ...changes },
  });

const away = (name: string): HostLook =>
  at(name, { kind: 'unknown', error: new CairnError('engine-unreachable', 'gone') });

const closed = (name: string): HostLook =>
  at(name, { kind: 'unknown', error: new CairnError('engine-refused', 'too many clients') });

suite('a backup', () => {
  const behind = { replayedLsn: flushedLsn - 17n * MiB };
  const cases: [string, HostLook[], string[], RegExp?][] = [
    ['a standby first', [primary('a'), standby('b')], ['b', 'a']],
    ['quiet for an hour, and up to date', [standby('b'), primary('a')], ['b', 'a']],
    ['all alone', [primary('a'), away('b')], ['a'], /b: gone/],
    ['late', [primary('a'), standby('b', behind)], ['a'], /3600 s behind/],
    [
      'a little late',
      [primary('a'), standby('b', { ...behind, replayedAgoMs: 299_000 })],
      ['b', 'a'],
    ],
    [
      'nothing replayed yet',
      [primary('a'), standby('b', { ...behind, replayedAgoMs: null })],
      ['a'],
      /nobody knows/,
    ],
    ['cut off', [primary('a'), standby('b', { isStreaming: false })], ['a'], /receive log/],
    ['no slot', [primary('a'), standby('b', { hasSlotRoom: false })], ['a'], /max_replication/],
    ['a stranger', [primary('a'), standby('b', { systemIdentifier: '8' })], ['a'], /another/],
    ['the primary away', [away('a'), standby('b')], ['b'], /a: gone/],
    [
      'the primary away, and not all replayed',
      [away('a'), standby('b', { receivedLsn: flushedLsn + 1n }), standby('c')],
      ['c'],
      /b: it is 3600 s behind/,
    ],
  ];
  for (const [name, looks, hosts, reason] of cases) {
    test(name, () => {
      const plan = planBackupHosts(looks);
      assert.deepEqual(
        plan.hosts.map((host) => host.name),
        hosts,
      );
      if (reason) assert.match(plan.reasons.join('; '), reason);
      else assert.deepEqual(plan.reasons, []);
    });
  }

  test('is of neither of two primaries, and of nobody where nobody is fit', () => {
    const two = [primary('a'), primary('b', { timeline: 2 }), standby('c')];
    assert.throws(() => planBackupHosts(two), { kind: 'engine-refused', message: /both/ });
    const none = [away('a'), standby('b', { isStreaming: false })];
    assert.throws(() => planBackupHosts(none), { kind: 'engine-unreachable', message: /a: gone/ });
  });
});

suite('the log', () => {
  const followed = { systemIdentifier: '7', timeline: 1 };
  const promoted = primary('b', { timeline: 2 });
  const stranger = primary('b', { systemIdentifier: '8' });
  const cases: [string, HostLook[], typeof followed | null, string | RegExp, RegExp?][] = [
    ['of the primary', [standby('b'), primary('a')], null, 'a'],
    ['of the promoted one', [away('a'), promoted], followed, 'b'],
    ['the old one is a standby now', [standby('a', { timeline: 2 }), promoted], followed, 'b'],
    ['the old one answers', [promoted, primary('a')], followed, 'a', /both.*taken from a/],
    ['the old one came back', [primary('a'), promoted], { ...followed, timeline: 2 }, 'b', /both/],
    ['two, and nothing is followed', [primary('a'), promoted], null, /are primaries both/],
    ['two, and neither is followed', [primary('a', { timeline: 3 }), promoted], followed, /both/],
    ['the old one does not let us in', [closed('a'), promoted], followed, /a cannot be asked/],
    ['the standby does not let us in', [primary('a'), closed('b')], followed, 'a'],
    ['nobody', [away('a'), standby('b')], followed, /no primary: a: gone; b is a standby/],
    ['a stranger only', [away('a'), stranger], followed, /b is a primary of another system/],
    ['a stranger besides', [primary('a'), stranger], followed, 'a', /both/],
  ];
  for (const [name, looks, from, expected, warning] of cases) {
    test(name, () => {
      if (expected instanceof RegExp) {
        assert.throws(() => planLogHost(looks, from), expected);
        return;
      }
      const host = planLogHost(looks, from);
      assert.equal(host.name, expected);
      if (warning) assert.match(host.warning?.message ?? '', warning);
      else assert.equal(host.warning, null);
    });
  }
});

suite('what is told', () => {
  test('each server, with its lag', () => {
    const late = { replayedLsn: 0n, replayedAgoMs: 90_000 };
    assert.deepEqual(describeHosts([primary('a'), standby('b', late), away('c')]), [
      { host: 'a', port: 5432, role: 'primary', timeline: 1 },
      {
        ...{ host: 'b', port: 5432, role: 'standby', timeline: 1 },
        ...{ isStreaming: true, lagMs: 90_000 },
      },
      { host: 'c', port: 5432, role: 'unknown', problem: 'gone' },
    ]);
  });

  const worst = (looks: HostLook[]) =>
    planHostFindings(looks).map(({ check, severity }) => `${check} ${severity}`);
  const cases: [HostLook[], string[]][] = [
    [
      [primary('a'), standby('b')],
      ['host fine', 'host fine'],
    ],
    [
      [primary('a'), away('b')],
      ['host fine', 'host warning'],
    ],
    [
      [primary('a'), standby('b', { isStreaming: false })],
      ['host fine', 'host warning'],
    ],
    [
      [away('a'), standby('b')],
      ['host warning', 'host fine', 'primary warning'],
    ],
    [
      [primary('a'), standby('b', { systemIdentifier: '8' })],
      ['host fine', 'system-identifier blocking'],
    ],
    [
      [primary('a'), primary('b', { timeline: 2 })],
      ['host fine', 'host fine', 'primary blocking'],
    ],
  ];
  for (const [looks, expected] of cases) {
    test(expected.join(', '), () => assert.deepEqual(worst(looks), expected));
  }
});
