import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compressionOf, findBackupFolder, parseConnectionUrl } from './connection-url.ts';
import { logIntervalMs } from './log-interval.ts';

const folder = encodeURIComponent('\\\\files\\cairn\\');

describe('a connection string of SQL Server', () => {
  it('has defaults for all but the user, and verifies the server', () => {
    const connection = parseConnectionUrl('sqlserver://backup@db');
    const { host, port, database, user, password, tls } = connection;
    assert.deepEqual(
      [host, port, database, user, password],
      ['db', 1433, 'master', 'backup', null],
    );
    assert.deepEqual([tls, findBackupFolder(connection)], ['verify-full', null]);
  });

  it('turns TLS off, or its verification, only when told so', () => {
    const modes = {
      '': 'verify-full',
      'encrypt=true': 'verify-full',
      'encrypt=true&trustServerCertificate=false': 'verify-full',
      'trustServerCertificate=true': 'require',
      'encrypt=false': 'disable',
      'sslmode=require': 'require',
    };
    for (const [query, tls] of Object.entries(modes)) {
      assert.equal(parseConnectionUrl(`mssql://b:p%40ss@db/shop?${query}`).tls, tls, query);
    }
  });

  it('names the folder of the backups as both sides see it', () => {
    const both = `sqlserver://b@db/?backupFolder=${folder}&backupFolderHere=/mnt/cairn/`;
    assert.deepEqual(findBackupFolder(parseConnectionUrl(both)), {
      onServer: '\\\\files\\cairn',
      here: '/mnt/cairn',
    });
    const same = 'sqlserver://b@db/?encrypt=false&backupFolder=/srv/b';
    assert.deepEqual(findBackupFolder(parseConnectionUrl(same)), {
      onServer: '/srv/b',
      here: '/srv/b',
    });
  });

  it('says how often the log is backed up', () => {
    const interval = (query: string): number =>
      logIntervalMs(parseConnectionUrl(`sqlserver://b@db/?${query}`));
    assert.equal(interval(''), 60_000);
    assert.equal(interval('logbackupseconds=300'), 300_000);
    for (const odd of ['9', '3601', '1e3', '', '-60']) {
      assert.throws(() => interval(`logBackupSeconds=${odd}`), /out of range/, odd);
    }
  });

  it('lets the server compress only where that is asked for', () => {
    const compression = (query: string): string =>
      compressionOf(parseConnectionUrl(`sqlserver://b@db/?${query}`));
    assert.equal(compression(''), 'off');
    assert.equal(compression('backupCompression=false'), 'off');
    assert.equal(compression('backupcompression=true'), 'on');
    assert.throws(() => compression('backupCompression=zstd'), /backupCompression=zstd/);
  });

  it('is refused without showing the password', () => {
    const refused = [
      'mysql://u:secret@b',
      'sqlserver://:secret@b',
      'sqlserver://u:secret@a,b/',
      'sqlserver://u:secret@a%5Csqlexpress/',
      'sqlserver://u:secret@a/?encrypt=perhaps',
      'sqlserver://u:secret@a/?encrypt=strict',
      'sqlserver://u:secret@a/?sslmode=prefer',
      'sqlserver://u:secret@a/?encrypt=true&sslmode=require',
      'sqlserver://u:secret@a/?backupFolder=backups',
      'sqlserver://u:secret@a/?backupFolderHere=/b',
      `sqlserver://u:secret@a/?backupFolder=${folder}`,
      `sqlserver://u:secret@a/?backupFolder=/${'a'.repeat(200)}`,
      'sqlserver://u:secret@a/?backupFolder=/b%0A',
      'sqlserver://u:secret@a/?backupFolder=/b%zz',
      'sqlserver://u:secret@a/?integratedSecurity=true',
    ];
    for (const url of refused) {
      assert.throws(
        () => parseConnectionUrl(url),
        (error: Error & { hint?: string }) =>
          'kind' in error && !`${error.message} ${error.hint}`.includes('secret'),
        url,
      );
    }
  });
});
