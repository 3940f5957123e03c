// The statements that move data, word by word: what a reader of the documentation would type.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspect } from 'node:util';
import { sampleOrder, sampleStep } from '../../../scripts/tsql-samples.ts';
import { Secret } from '../../model/secret.ts';
import type { BackupDevices } from './devices.ts';
import { quoteIdentifier, quoteText } from './identifier.ts';
import { statementText } from './statement.ts';
import { backupStatement } from './tsql-backup.ts';
import { createCredentialStatement } from './tsql-credential.ts';
import { checkDatabaseStatement } from './tsql-database.ts';
import { mediaStatement, verifyStatement } from './tsql-media.ts';
import { restoreStatement } from './tsql-restore.ts';
import { progressStatement, serverOffsetsStatement } from './tsql-session.ts';

const disk: BackupDevices = { kind: 'disk', platform: 'linux', paths: ['/backup/a.bak'] };
const s3: BackupDevices = {
  kind: 's3',
  urls: ['s3://store:9000/b/1.bak', 's3://store:9000/b/2.bak'],
  region: 'eu-west-1',
};
const end = 'NAME = @label, DESCRIPTION = @description';

suite('texts of backups', () => {
  test('full, to disk', () => {
    assert.equal(
      backupStatement({ ...sampleOrder, devices: disk }).text,
      'BACKUP DATABASE @database TO DISK = @device1 WITH FORMAT, INIT, CHECKSUM, COMPRESSION,' +
        ` ${end}, STATS = 5`,
    );
  });

  test('differential, to S3: no INIT there', () => {
    assert.equal(
      backupStatement({ ...sampleOrder, kind: 'differential', devices: s3 }).text,
      'BACKUP DATABASE @database TO URL = @device1, URL = @device2 WITH DIFFERENTIAL, FORMAT,' +
        ` CHECKSUM, COMPRESSION, ${end},` +
        ` BACKUP_OPTIONS = '{"s3": {"region":"eu-west-1"}}', STATS = 5`,
    );
  });

  test('log, copy-only, uncompressed, with sizes and encryption', () => {
    const encryption = { algorithm: 'AES_256', certificate: 'a]b' } as const;
    const sizes = { transferBytes: 1_048_576, bufferCount: 16, blockBytes: 4096 };
    assert.equal(
      backupStatement({
        ...{ ...sampleOrder, kind: 'log', isCopyOnly: true, compression: 'off' },
        ...{ devices: disk, encryption, sizes },
      }).text,
      'BACKUP LOG @database TO DISK = @device1 WITH COPY_ONLY, FORMAT, INIT, CHECKSUM,' +
        ' NO_COMPRESSION, MAXTRANSFERSIZE = 1048576, BUFFERCOUNT = 16, BLOCKSIZE = 4096,' +
        ` ${end}, ENCRYPTION (ALGORITHM = AES_256, SERVER CERTIFICATE = [a]]b]), STATS = 5`,
    );
  });

  test('the tail of a sound and of a damaged database', () => {
    const text = (kind: 'tail-log' | 'tail-log-of-damaged') =>
      statementText(backupStatement({ ...sampleOrder, kind, devices: disk }));
    assert.match(text('tail-log'), /^BACKUP LOG .* WITH NORECOVERY, FORMAT,/);
    assert.match(text('tail-log-of-damaged'), / WITH NO_TRUNCATE, NORECOVERY, FORMAT,/);
  });

  test('labels that are too long are refused, not cut off', () => {
    const long = (changes: object) => () => backupStatement({ ...sampleOrder, ...changes });
    assert.throws(long({ label: 'x'.repeat(129) }), /label has 129/);
    assert.throws(long({ description: 'x'.repeat(256) }), /description has 256/);
  });
});

suite('texts of restores', () => {
  const log = { ...sampleStep, kind: 'log', devices: disk, moves: [] } as const;

  test('full, to new places', () => {
    assert.equal(
      restoreStatement({ ...sampleStep, devices: disk }).text,
      'RESTORE DATABASE @database FROM DISK = @device1 WITH FILE = 1, MOVE @file1 TO @path1,' +
        ' MOVE @file2 TO @path2, NORECOVERY, CHECKSUM, STATS = 5',
    );
  });

  test('over a database, from S3: no FILE there', () => {
    const step = { ...sampleStep, devices: s3, moves: [], replace: 'existing-database' } as const;
    assert.equal(
      restoreStatement(step).text,
      'RESTORE DATABASE @database FROM URL = @device1, URL = @device2 WITH NORECOVERY, CHECKSUM,' +
        ` REPLACE, RESTORE_OPTIONS = '{"s3": {"region":"eu-west-1"}}', STATS = 5`,
    );
  });

  test('log to a time, as varchar: nothing else is taken for a variable of STOPAT', () => {
    const localTime = '2026-11-24T21:00:00.997';
    const { text, parameters } = restoreStatement({ ...log, stop: { kind: 'time', localTime } });
    assert.equal(
      text,
      'RESTORE LOG @database FROM DISK = @device1 WITH FILE = 1, NORECOVERY, CHECKSUM,' +
        ' STOPAT = @stopat, STATS = 5',
    );
    assert.deepEqual(parameters.at(-1), {
      ...{ name: 'stopat', type: 'varchar', lengthMax: 23, value: localTime },
    });
  });

  test('log to a position and to a mark', () => {
    const text = (isInclusive: boolean) =>
      statementText(
        restoreStatement({ ...log, stop: { kind: 'lsn', lsn: 34000000017600037n, isInclusive } }),
      );
    assert.match(text(true), / STOPATMARK = N'lsn:34000000017600037',/);
    assert.match(text(false), / STOPBEFOREMARK = N'lsn:34000000017600037',/);
    const mark = { kind: 'mark', mark: "it's", isInclusive: true } as const;
    assert.match(
      statementText(restoreStatement({ ...log, stop: mark })),
      / STOPATMARK = N'it''s',/,
    );
  });

  test('log to look at', () => {
    const step = { ...log, platform: 'linux', standbyPath: '/data/a.undo' } as const;
    assert.match(statementText(restoreStatement(step)), /FILE = 1, STANDBY = @standby, CHECKSUM/);
  });

  test('what the server would not do, or would do wrongly, is refused', () => {
    const refused = (changes: object) => () => restoreStatement({ ...sampleStep, ...changes });
    const move = { logicalName: 'a', path: 'D:\\a.mdf' };
    assert.throws(refused({ kind: 'log', replace: 'existing-database' }), /only a full/);
    const mark = { kind: 'mark', mark: 'a', isInclusive: true };
    assert.throws(refused({ stop: mark }), /mark/);
    assert.throws(refused({ kind: 'log', stop: { ...mark, mark: 'LSN:1' } }), /position/);
    assert.throws(refused({ stop: { kind: 'time', localTime: '24.11.2026' } }), /not a time/);
    assert.throws(refused({ moves: [move, { ...move, logicalName: 'b' }] }), /one place/);
    assert.throws(refused({ moves: [move, { ...move, path: 'D:\\b.mdf' }] }), /one place/);
    assert.throws(refused({ moves: [{ ...move, path: 'D:\\a\\..\\b' }] }), /plain/);
  });
});

suite('texts of the rest', () => {
  test('verification, and what a backup says of itself', () => {
    assert.equal(
      verifyStatement(disk, 'load-history').text,
      'RESTORE VERIFYONLY FROM DISK = @device1 WITH FILE = 1, LOADHISTORY, CHECKSUM, STATS = 10',
    );
    assert.equal(
      mediaStatement('header', s3).text,
      'RESTORE HEADERONLY FROM URL = @device1 WITH' +
        ` RESTORE_OPTIONS = '{"s3": {"region":"eu-west-1"}}'`,
    );
    assert.equal(
      mediaStatement('file-list', disk).text,
      'RESTORE FILELISTONLY FROM DISK = @device1 WITH FILE = 1',
    );
    assert.equal(mediaStatement('label', disk).text, 'RESTORE LABELONLY FROM DISK = @device1');
  });

  test('the integrity check', () => {
    assert.equal(
      checkDatabaseStatement("it's").text,
      "DBCC CHECKDB (N'it''s') WITH NO_INFOMSGS, ALL_ERRORMSGS",
    );
  });

  test('a credential is sent, and shown to nobody', () => {
    const url = 's3://store:9000/b';
    const secretKey = new Secret('Sup3rSecret');
    const statement = createCredentialStatement({ url, accessKeyId: 'AKID', secretKey });
    assert.equal(
      statementText(statement),
      `CREATE CREDENTIAL [${url}] WITH IDENTITY = 'S3 Access Key', SECRET = N'AKID:Sup3rSecret'`,
    );
    assert.doesNotMatch(`${JSON.stringify(statement)} ${inspect(statement)}`, /Sup3r/);
  });

  test('keys that the server would garble are refused, without repeating them', () => {
    for (const [accessKeyId, secret] of [
      ['a:b', 'Sup3r'],
      ['AKID', 'Sup3r/x+y='],
      ['', 'Sup3r'],
      ['AKID', ''],
    ] as const) {
      const key = { url: 's3://h/b', accessKeyId, secretKey: new Secret(secret) };
      assert.throws(
        () => createCredentialStatement(key),
        (error) => !inspect(error).includes('Sup3r') && /letters and digits/.test(inspect(error)),
      );
    }
  });

  test('numbers of sessions and versions without a time zone', () => {
    for (const session of [0, -1, 1.5, Number.NaN, 1e9]) {
      assert.throws(() => progressStatement(session), /not the number of a session/);
    }
    assert.throws(() => serverOffsetsStatement(new Date(0), 15), /2022/);
  });

  test('the longest names and texts', () => {
    assert.equal(quoteIdentifier(']'.repeat(128)).length, 258);
    assert.equal(quoteText("'".repeat(128), 128).length, 259);
    assert.throws(() => quoteText('x'.repeat(129), 128), /129/);
  });
});
