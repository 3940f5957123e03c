import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findBackupBucket } from './backup-bucket.ts';
import { parseConnectionUrl } from './connection-url.ts';

const url = 's3://store.example:9000/bucket/a/b';

function parse(options: Readonly<Record<string, string>>) {
  const query = String(new URLSearchParams(options));
  return parseConnectionUrl(`sqlserver://u:secret@db/?${query}`);
}

describe('the bucket in a connection string of SQL Server', () => {
  it('is read as the server and as Cairn reach it', () => {
    assert.deepEqual(findBackupBucket(parse({ backupUrl: `${url}/` })), {
      ...{ url, bucket: 'bucket', prefix: 'a/b', region: null },
      ...{ endpoint: 'https://store.example:9000', caFile: null, profile: null },
    });
    const options = {
      ...{ backupUrl: 's3://s3.eu-west-1.amazonaws.com/bucket', backupRegion: 'eu-west-1' },
      ...{ backupEndpoint: 'http://10.0.0.9:9000', backupCa: '/etc/ca.pem' },
      backupProfile: 'mssql',
    };
    assert.deepEqual(findBackupBucket(parse(options)), {
      ...{ url: options.backupUrl, bucket: 'bucket', prefix: '', region: 'eu-west-1' },
      ...{ endpoint: 'http://10.0.0.9:9000', caFile: '/etc/ca.pem', profile: 'mssql' },
    });
    assert.equal(findBackupBucket(parse({})), null);
  });

  it('is refused when the server could not use it, and never shown with keys', () => {
    const refused: readonly Readonly<Record<string, string>>[] = [
      { backupRegion: 'eu-west-1' },
      { backupUrl: 'https://store/bucket' },
      { backupUrl: 's3://store' },
      { backupUrl: 's3://store/b' },
      { backupUrl: 's3://store/bucket/a b' },
      { backupUrl: 's3://store/bucket/../other' },
      { backupUrl: `s3://store/bucket/${'a'.repeat(130)}` },
      { backupUrl: 's3://id:secret@store/bucket' },
      { backupUrl: url, backupFolder: '/mnt/cairn' },
      { backupUrl: url, backupEndpoint: 'store:9000' },
      { backupUrl: url, backupEndpoint: 'https://id:secret@store' },
      { backupUrl: url, backupEndpoint: 'https://store/path' },
      { backupUrl: url, backupRegion: "x'" },
      { backupUrl: url, backupCa: 'ca.pem' },
      { backupUrl: url, backupProfile: 'a b' },
    ];
    for (const options of refused) {
      assert.throws(
        () => parse(options),
        (error: Error & { hint?: string }) =>
          'kind' in error && !`${error.message} ${error.hint}`.includes('secret'),
        JSON.stringify(options),
      );
    }
  });
});
