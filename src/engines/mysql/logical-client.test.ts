import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import { dumpArguments, planImportCommands, readOwnWords, tlsArguments } from './logical-client.ts';
import { disableEvent, placeTrigger } from './logical-programs.ts';

const common = [
  ...['--single-transaction', '--quick', '--hex-blob'],
  ...['--default-character-set=utf8mb4', '--max-allowed-packet=1G'],
];

test('a dump reads all databases in one transaction and says where the log stood', () => {
  const choice = {
    databases: ['-x', 'a'],
    withPosition: true,
    withHistory: true,
    leftOut: ['a.v'],
  };
  assert.deepEqual(dumpArguments({ ...choice, flavor: 'mariadb' }), [
    ...common,
    ...[
      '--dump-history',
      '--ignore-table=a.v',
      '--routines',
      '--triggers',
      '--events',
      '--master-data=2',
      '--gtid',
    ],
    ...['--databases', '--', '-x', 'a'],
  ]);
});

// Has never been run: there is no MySQL 8 here.
test('mysqldump is not asked for what needs more rights, or changes the target', () => {
  const choice = { databases: ['a'], withPosition: true, withHistory: false, leftOut: [] };
  assert.deepEqual(dumpArguments({ ...choice, flavor: 'mysql' }), [
    ...common,
    ...['--set-gtid-purged=OFF', '--no-tablespaces', '--column-statistics=0'],
    ...['--routines', '--triggers', '--events', '--source-data=2', '--databases', '--', 'a'],
  ]);
});

test('TLS is as the connection says, whatever the programs would do by themselves', () => {
  assert.deepEqual(tlsArguments('disable', 'mariadb', null), ['--skip-ssl']);
  assert.deepEqual(tlsArguments('require', 'mariadb', null), [
    ...['--ssl', '--skip-ssl-verify-server-cert'],
  ]);
  assert.deepEqual(tlsArguments('verify-full', 'mariadb', '/ca'), [
    ...['--ssl', '--ssl-ca=/ca', '--ssl-verify-server-cert'],
  ]);
  assert.deepEqual(tlsArguments('require', 'mysql', null), ['--ssl-mode=REQUIRED']);
  assert.deepEqual(tlsArguments('require', 'mysql', '/ca'), [
    '--ssl-mode=VERIFY_CA',
    '--ssl-ca=/ca',
  ]);
  assert.deepEqual(tlsArguments('verify-full', 'mysql', '/ca'), [
    ...['--ssl-mode=VERIFY_IDENTITY', '--ssl-ca=/ca'],
  ]);
});

test('the commands to import by hand survive any name', () => {
  const file = { databaseName: "it's `odd`", fileName: 'x.sql', sizeBytes: 1, parts: [] };
  assert.deepEqual(planImportCommands(file, "/tmp/it's"), [
    "mariadb --execute='create database `it'\\''s ``odd```'",
    "mariadb '--default-character-set=utf8mb4' '--max-allowed-packet=1G' '--binary-mode'" +
      " '--batch'" +
      " '--database=it'\\''s `odd`' < '/tmp/it'\\''s'",
  ]);
});

test('an event comes back switched off, whatever its body says', () => {
  const event = (state: string): string =>
    '/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e``v` ON SCHEDULE EVERY 1 HOUR ' +
    "STARTS '2026-11-24 20:25:33' ON COMPLETION NOT PRESERVE " +
    `${state} DO begin\n/* ON COMPLETION PRESERVE ENABLE */ end */ ;;\n`;
  assert.equal(disableEvent(event('ENABLE')), event('DISABLE'));
  assert.equal(disableEvent(event('DISABLE')), event('DISABLE'));
  const procedure = 'CREATE PROCEDURE p() select " ON COMPLETION PRESERVE ENABLE";;\n';
  assert.equal(disableEvent(procedure), procedure);
});

test('a trigger comes back where it is restored, and not on the original', () => {
  const trigger = (text: string): string =>
    `/*!50003 CREATE*/ /*!50017 DEFINER=\`on\`@\`b\`*/ /*!50003 ${text} for each row set @a = ` +
    '"trigger a.b before insert on c.d "*/;;\n';
  const plain = trigger('trigger `a``b` before insert on t');
  assert.equal(placeTrigger(plain), plain);
  assert.equal(placeTrigger(trigger('trigger shop.`a``b` before insert on `sh``op` . t')), plain);
  assert.equal(
    placeTrigger(trigger('TRIGGER IF NOT EXISTS `s`.t AFTER UPDATE ON s.`t`')),
    trigger('TRIGGER IF NOT EXISTS t AFTER UPDATE ON `t`'),
  );
  assert.throws(
    () => placeTrigger(trigger('trigger /* shop. */ t before insert on t')),
    CairnError,
  );
  const procedure = 'CREATE PROCEDURE p() select "trigger a.b before insert on c.d ";;\n';
  assert.equal(placeTrigger(procedure), procedure);
});

test('an error repeats no rows of the statement that has failed', () => {
  const stderr =
    "--------------\nINSERT INTO `t` VALUES (1,'secret row'),\n(2,'x')\n--------------\n\n" +
    "ERROR 1062 (23000) at line 7: Duplicate entry '1' for key 'PRIMARY'\n";
  assert.match(readOwnWords(stderr), /^ERROR 1062 \(23000\) at line 7: Duplicate entry/);
  const dump = 'mariadb-dump: Got error: 1045: "Access denied for user" when trying to connect';
  assert.equal(readOwnWords(`${dump}\n`), dump);
  assert.equal(readOwnWords("(128,'x'),\n"), 'it said nothing');
});
