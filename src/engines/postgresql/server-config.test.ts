import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PostgresNotes } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';
import { formatTablespaceMap } from './restore.ts';
import { createVerifier } from './role-password.ts';
import { formatConfig, planServerArguments } from './server-config.ts';

const notes: PostgresNotes = {
  version: 1,
  blockSizeBytes: 8192,
  walSegmentBytes: 16 * 1024 * 1024,
  timeline: 1,
  systemIdentifier: '7000000000000000000',
  dataChecksums: true,
  startClockMs: null,
  serverStartMs: null,
  fromStandby: false,
  superuser: 'postgres',
  tablespaces: [{ oid: '16385', location: '/srv/far', sizeBytes: 1 }],
  settings: { max_connections: '100', shared_buffers: '1048576', timezone: "it's \\ here" },
};

const input = {
  homeDir: '/h, "x"',
  dataDir: '/h, "x"/data',
  socketDir: '/h, "x"',
  port: 6000,
  major: 17,
  notes,
  hasOwnConfig: true,
  memoryBytes: 16 * 1024 ** 3,
};

function settingsOf(args: readonly string[]): Map<string, string> {
  const pairs = args.slice(2).filter((_, at) => at % 2 === 1);
  return new Map(pairs.map((pair) => [pair.split('=')[0] ?? '', pair.replace(/^[^=]*=/, '')]));
}

test('a restored server is kept away from production', () => {
  const settings = settingsOf(planServerArguments(input));
  assert.equal(settings.get('archive_mode'), 'off');
  assert.equal(settings.get('primary_conninfo'), '');
  assert.equal(settings.get('max_logical_replication_workers'), '0');
  assert.equal(settings.get('data_directory'), '/h, "x"/data');
  assert.equal(settings.get('unix_socket_directories'), '"/h, ""x"""');
  assert.equal(settings.get('config_file'), undefined);
  assert.ok(settings.has('sync_replication_slots'));
  assert.ok(
    !settingsOf(planServerArguments({ ...input, major: 15 })).has('sync_replication_slots'),
  );
});

test('buffers shrink on a host that is too small for them', () => {
  assert.equal(settingsOf(planServerArguments(input)).get('shared_buffers'), '2097152kB');
  const large = { ...input, memoryBytes: 64 * 1024 ** 3 };
  assert.equal(settingsOf(planServerArguments(large)).get('shared_buffers'), undefined);
});

test('values of a written configuration are quoted', () => {
  assert.match(formatConfig(notes), /^max_connections = 100$/m);
  assert.match(formatConfig(notes), /^timezone = 'it''s \\\\ here'$/m);
});

test('notes survive JSON, and damaged ones are refused', () => {
  const stored = JSON.parse(JSON.stringify(notes));
  assert.deepEqual(parseNotes(stored), notes);
  for (const change of [
    { version: 2 },
    { blockSizeBytes: '8192' },
    { tablespaces: [{ oid: '../x', location: '/x', sizeBytes: 1 }] },
    { settings: null },
    { systemIdentifier: undefined },
  ]) {
    assert.throws(() => parseNotes({ ...stored, ...change }), { kind: 'repository-damaged' });
  }
  const odd = parseNotes({ ...stored, settings: { 'a\nb': 'c', work_mem: 'x' } });
  assert.deepEqual(odd.settings, { work_mem: 'x' });
});

test('the tablespace map escapes what would end a line', () => {
  assert.equal(formatTablespaceMap([{ oid: '1', targetDir: '/a\\b c' }]), '1 /a\\\\b c\n');
});

test('the verifier is that of RFC 7677', () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  const verifier = createVerifier('pencil', salt);
  const [, stored, server] = /\$([^$:]+):([^$:]+)$/.exec(verifier) ?? [];
  assert.equal(stored, 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=');
  assert.equal(server, 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=');
});
