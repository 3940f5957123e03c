import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkExchange } from './exchange-findings.ts';
import type { ExchangeFacts } from './inspect-exchange.ts';
import { listNames, listStatements } from './name-list.ts';
import { checkVersion } from './server-findings.ts';
import type { ServerInfo } from './server-info.ts';

type Usable = Extract<ExchangeFacts, { kind: 'usable' }>;

const info: ServerInfo = {
  ...{ version: '16.0.4195.2', majorVersion: 16, serverName: 'SQL1', platform: 'linux' },
  ...{ edition: 'Standard Edition (64-bit)', engineEdition: 2, collation: 'Latin1_General_CI_AS' },
  ...{ isHadrEnabled: false, dataDir: null, logDir: null },
  ...{ moment: '20261124T210000.0000000', offsetMinutes: 0 },
};

describe('the version of a SQL Server', () => {
  it('is never called fine, and is refused where backups cannot be taken', () => {
    const severityOf = (changes: Partial<ServerInfo>) =>
      checkVersion({ ...info, ...changes }).severity;
    assert.equal(severityOf({}), 'warning');
    assert.equal(severityOf({ version: '12.0.6', majorVersion: 12 }), 'blocking');
    assert.equal(severityOf({ version: '13.0.7', majorVersion: 13 }), 'warning');
    for (const engineEdition of [5, 6, 8, 11, 12]) {
      assert.equal(severityOf({ version: '12.0.2000.8', engineEdition }), 'blocking');
    }
    assert.match(checkVersion({ ...info, engineEdition: 5 }).message, /Azure SQL Database/);
  });
});

describe('the place where backups are handed over', () => {
  const seen = { kind: 'yes' } as const;
  const url = 's3://store/bucket';
  const credential = { kind: 'present', name: url, url } as const;
  const bucket: Usable = { kind: 'usable', place: url, seen, credential };

  it('is no bucket before 2022, and not with Express', () => {
    const [fine] = checkExchange(bucket, { info });
    assert.equal(fine?.severity, 'fine');
    for (const changes of [{ majorVersion: 15 }, { engineEdition: 4 }]) {
      const [refused] = checkExchange(bucket, { info: { ...info, ...changes } });
      assert.deepEqual(
        [refused?.severity, refused?.hint?.includes('backupFolder')],
        ['blocking', true],
      );
      const folder: Usable = { ...bucket, place: '/mnt/cairn', credential: null };
      const [same] = checkExchange(folder, { info: { ...info, ...changes } });
      assert.equal(same?.severity, 'fine');
    }
  });

  it('proves a credential that the login does not see', () => {
    const hidden: Usable = { ...bucket, credential: { kind: 'unknown', url } };
    const severities = (exchange: Partial<Usable>) =>
      checkExchange({ ...hidden, ...exchange }, { info }).map(({ severity }) => severity);
    assert.deepEqual(severities({}), ['fine', 'fine']);
    assert.deepEqual(severities({ seen: { kind: 'unknown' } }), ['fine', 'warning']);
    const [unseen] = severities({ seen: { kind: 'no', problem: 'error 50' } });
    assert.equal(unseen, 'blocking');
  });
});

describe('many names in one line', () => {
  it('are counted where they are too many', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    assert.equal(listNames(names), 'a, b, c, d, e and 2 more');
    assert.equal(listNames(['a', 'b']), 'a, b');
    assert.equal(
      listStatements(names, (name) => `USE ${name}`),
      'USE a; USE b; USE c; …',
    );
  });
});
