import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CairnError } from '../../model/errors.ts';
import { isInformationFile, parseInformation, withoutSecrets } from './backup-information.ts';

const checkpoints = [
  ...['backup_type = full-backuped', 'from_lsn = 0', 'to_lsn = 44404', 'last_lsn = 220197'],
  ...['recover_binlog_info = 0', ''],
].join('\n');
const info = 'uuid = 35002129\ntool_name = mariadb-backup\ntool_version = 10.11.19-MariaDB\n';
const texts = (binlog: string | null): Map<string, string> =>
  new Map([
    ['xtrabackup_checkpoints', checkpoints],
    ['xtrabackup_info', info],
    ...(binlog === null ? [] : [['xtrabackup_binlog_info', binlog] as const]),
  ]);
const withLog = { hasBinaryLog: true };
const isIncomplete = (pattern: RegExp) => (error: CairnError) =>
  error.kind === 'engine-refused' && pattern.test(error.message);

test('where the backup ends is read, whatever the release calls its files', () => {
  const expected = {
    position: { engine: 'mysql', file: 'bin.000004', offsetBytes: 337537, gtidSet: '0-11-8179' },
    toLsn: 44404n,
    lastLsn: 220197n,
    toolVersion: '10.11.19-MariaDB',
  };
  const old = texts('bin.000004\t337537\t0-11-8179\n');
  assert.deepEqual(parseInformation(old, withLog), expected);
  const renamed = [...old].map(([name, text]) => [
    name.replace('xtrabackup', 'mariadb_backup'),
    text,
  ]);
  const renamedTexts = new Map(renamed as [string, string][]);
  assert.ok([...old.keys(), ...renamedTexts.keys()].every(isInformationFile));
  assert.deepEqual(parseInformation(renamedTexts, withLog), expected);
});

test('a server may have no GTIDs, or a set of several lines', () => {
  const positionOf = (text: string) => parseInformation(texts(text), withLog).position;
  assert.equal(positionOf('bin.000001\t4\n')?.gtidSet, null);
  assert.equal(positionOf('bin.000001\t4\t\n')?.gtidSet, null);
  const first = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5';
  const second = '4e11fa47-71ca-11e1-9e33-c80aa9429562:1-3';
  assert.deepEqual(positionOf(`./binlog.000012\t157\t${first},\n${second}\n`), {
    ...{ engine: 'mysql', file: 'binlog.000012', offsetBytes: 157 },
    gtidSet: `${first},${second}`,
  });
});

test('without a binary log there is no position', () => {
  assert.equal(parseInformation(texts(null), { hasBinaryLog: false }).position, null);
});

test('what is missing or makes no sense is refused', () => {
  assert.throws(
    () => parseInformation(texts(null), withLog),
    isIncomplete(/xtrabackup_binlog_info did not come/),
  );
  for (const odd of ['', 'bin.000001', 'bin.000001 4', 'bin.000001\tx\t', '\t4\t']) {
    assert.throws(() => parseInformation(texts(odd), withLog), isIncomplete(/binlog_info holds/));
  }
  const without = new Map([...texts('b.000001\t4\n'), ['xtrabackup_checkpoints', 'to_lsn = x\n']]);
  assert.throws(() => parseInformation(without, withLog), isIncomplete(/to_lsn .* is "x"/));
  // It may be older than the backup.
  assert.ok(!isInformationFile('xtrabackup_binlog_pos_innodb'));
});

test('no pass phrase of a key file gets into a backup', () => {
  const filter = withoutSecrets('backup-my.cnf');
  const text = '[mysqld]\ninnodb_page_size=16384\nfile_key_management_filename=/k\n';
  const secret = 'file_key_management_filekey=open-sesame\nplugin_load=file_key_management.so\n';
  const kept = `${text}plugin_load=file_key_management.so\n`;
  assert.equal(filter?.(text + secret), kept);
  assert.equal(withoutSecrets('shop/backup-my.cnf'), null);
});
