import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CairnError } from '../model/errors.ts';
import { parseStorageUrl } from './storage-url.ts';

describe('a storage location', () => {
  it('names a folder', () => {
    assert.deepEqual(parseStorageUrl('file:///srv/a%20b%231'), {
      kind: 'local',
      folder: '/srv/a b#1',
    });
  });

  it('names a bucket of Amazon, found by its host name', () => {
    assert.deepEqual(parseStorageUrl('s3://backups'), {
      ...{ kind: 's3', bucket: 'backups', prefix: '', endpoint: null, region: null },
      ...{ pathStyle: false, caFile: null, lock: null, at: null },
    });
    const named = parseStorageUrl('s3://backups/a/b/?region=eu-central-1');
    assert.equal(named.kind === 's3' && named.prefix, 'a/b/');
    assert.equal(named.kind === 's3' && named.region, 'eu-central-1');
  });

  it('names a bucket of another store, found by its path unless told otherwise', () => {
    const url = 's3://b-1/cairn?endpoint=https://s3.example.org:9000/&ca=/etc/ca.pem';
    assert.deepEqual(parseStorageUrl(url), {
      ...{ kind: 's3', bucket: 'b-1', prefix: 'cairn/', endpoint: 'https://s3.example.org:9000' },
      ...{ region: 'us-east-1', pathStyle: true, caFile: '/etc/ca.pem' },
      ...{ lock: null, at: null },
    });
    const other = parseStorageUrl(`${url}&path_style=false`);
    assert.equal(other.kind === 's3' && other.pathStyle, false);
  });

  it('names terms of locks, and a moment of the past', () => {
    const read = (settings: string) => {
      const address = parseStorageUrl(`s3://bucket?${settings}`);
      return address.kind === 's3' ? { lock: address.lock, at: address.at } : null;
    };
    assert.deepEqual(read('lock=governance'), { lock: { mode: 'governance', days: 14 }, at: null });
    const lock = { mode: 'compliance', days: 30 };
    assert.deepEqual(read('lock=compliance&lock_days=30'), { lock, at: null });
    const at = new Date(Date.UTC(2026, 2, 1, 14, 30));
    assert.deepEqual(read('at=2026-03-01T14:30:00Z'), { lock: null, at });
    assert.deepEqual(read('at=2026-03-01T14:30:00.000Z'), { lock: null, at });
  });

  it('refuses what it cannot mean and says what to write', () => {
    const bad: readonly [string, RegExp][] = [
      ['/srv/backups', /not supported/],
      ['ftp://host/x', /ftp/],
      ['file://host/x', /folder/],
      ['file:///x?y', /folder/],
      ['s3:///prefix', /bucket/],
      ['s3://-b/prefix', /bucket/],
      ['s3://bucket/a b', /prefix/],
      ['s3://bucket/a//b', /prefix/],
      [`s3://bucket/${'a'.repeat(300)}`, /prefix/],
      ['s3://bucket/a#b', /#/],
      ['s3://bucket?endpoint=s3.example.org', /endpoint/],
      ['s3://bucket?endpoint=ftp://s3.example.org', /endpoint/],
      ['s3://bucket?endpoint=https://s3.example.org/minio', /path/],
      ['s3://bucket?endpoint=', /empty/],
      ['s3://bucket?path_style=yes', /true or false/],
      ['s3://bucket?regio=x', /regio/],
      ['s3://bucket?region=x&region=y', /twice/],
      ['s3://bucket?ca=ca.pem', /absolute/],
      ['s3://bucket?lock=legal', /lock is legal/],
      ['s3://bucket?lock_days=9', /without lock/],
      ['s3://bucket?lock=compliance&lock_days=0', /lock_days is 0/],
      ['s3://bucket?lock=compliance&lock_days=1.5', /lock_days is 1.5/],
      ['s3://bucket?lock=compliance&lock_days=9999', /lock_days is 9999/],
      ['s3://bucket?at=yesterday', /no moment/],
      ['s3://bucket?at=2026-13-01T00:00:00Z', /no moment/],
      ['s3://bucket?at=2026-03-01T14:30:00', /no moment/],
    ];
    for (const [url, text] of bad) {
      assert.throws(
        () => parseStorageUrl(url),
        (error) =>
          error instanceof CairnError &&
          error.kind === 'invalid' &&
          text.test(error.message) &&
          /CAIRN_STORAGE/.test(error.hint ?? ''),
        url,
      );
    }
  });

  it('does not repeat credentials that it refuses', () => {
    const urls = [
      's3://AKIAKEY:hidden-word@bucket/p',
      's3://bucket?endpoint=https://AKIAKEY:hidden-word@host',
    ];
    for (const url of urls) {
      assert.throws(
        () => parseStorageUrl(url),
        (error) =>
          error instanceof CairnError &&
          !/AKIAKEY|hidden-word/.test(`${error.message} ${error.hint} ${String(error.cause)}`),
      );
    }
  });
});
