import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Connection } from '../../model/instance.ts';
import type { Finding } from '../engine.ts';
import type { LogSettings, ServerState } from './server-findings.ts';
import { checkLog, checkVersion, planFindings } from './server-findings.ts';

const goodLog: LogSettings = {
  ...{ isOn: true, format: 'ROW', checksum: 'CRC32', rowImage: 'FULL', syncBinlog: 1 },
  ...{ serverId: 1, holdsReplicated: true, expirySeconds: null, baseName: 'my-bin_1.log' },
};
const connection: Connection = {
  ...{ host: 'db', port: 3306, standbys: [], database: '', user: 'backup', password: null },
  ...{ tls: 'prefer', tlsCaPem: null },
};
const good: ServerState = {
  way: {
    ...{ flavor: 'mariadb', serverVersion: '10.11.19-MariaDB', program: '/usr/bin/mariadb-backup' },
    folder: { kind: 'here', folder: { path: '/data', socketPath: '/socket', owner: null } },
    rights: new Set(['ALL PRIVILEGES']),
  },
  ...{ account: 'back`up@%', log: goodLog, replica: { kind: 'primary' }, isReadOnly: false },
  ...{ encryptionPlugin: null, tablesByEngine: new Map(), isEncrypted: true },
};
const logicalRights = ['SELECT', 'SHOW VIEW', 'TRIGGER', 'EVENT'];

function complaints(state: Partial<ServerState>): readonly string[] {
  const findings = planFindings({ ...good, ...state }, connection);
  return findings.filter(isComplaint).map(({ check, severity }) => `${severity} ${check}`);
}

function isComplaint({ severity }: Finding): boolean {
  return severity !== 'fine';
}

function withRights(...rights: string[]): Partial<ServerState> {
  return { way: { ...good.way, rights: new Set(rights) } };
}

describe('what is found on a server', () => {
  it('is nothing to do when all is well', () => {
    assert.deepEqual(complaints({}), []);
  });

  it('blocks only where no way of backing up is open', () => {
    assert.deepEqual(complaints(withRights('RELOAD', 'PROCESS', 'BINLOG MONITOR')), [
      'warning rights-logical',
      'warning rights-log',
    ]);
    assert.deepEqual(complaints(withRights(...logicalRights, 'REPLICATION SLAVE')), [
      'warning backup-way',
      'warning rights-log',
    ]);
    assert.deepEqual(complaints(withRights()), [
      'warning backup-way',
      'blocking rights-logical',
      'warning rights-log',
    ]);
  });

  it('says the statement that gives what is missing, with the account quoted', () => {
    const state = { ...good, ...withRights(...logicalRights, 'RELOAD', 'PROCESS') };
    const way = planFindings(state, connection).find(({ check }) => check === 'backup-way');
    assert.match(way?.message ?? '', /lacks BINLOG MONITOR/);
    assert.equal(way?.hint, 'GRANT BINLOG MONITOR ON *.* TO `back``up`@`%`');
  });

  it('names rows that a backup will not hold, or not of one moment', () => {
    const tables = { tablesByEngine: new Map([['MyISAM', 2]]) };
    const far = { kind: 'elsewhere', reason: 'it is away', hint: 'go there' } as const;
    assert.deepEqual(complaints(tables), []);
    assert.deepEqual(complaints({ tablesByEngine: new Map([['MEMORY', 1]]) }), [
      'warning table-engines',
    ]);
    assert.deepEqual(complaints({ ...tables, way: { ...good.way, folder: far } }), [
      'warning backup-way',
      'warning table-engines',
    ]);
  });

  it('names a replica whose own log does not hold what it takes over', () => {
    const replica = { kind: 'replica', isReceiving: true, lagMs: 0 } as const;
    const state = { ...good, replica, log: { ...goodLog, holdsReplicated: false } };
    const role = planFindings(state, connection).find(({ check }) => check === 'role');
    assert.match(role?.hint ?? '', /log_slave_updates = ON/);
  });

  it('names keys that a restore will need', () => {
    const state = { encryptionPlugin: 'file_key_management', isEncrypted: false };
    assert.deepEqual(complaints(state), ['warning encryption', 'warning tls']);
  });
});

describe('the settings of a binary log', () => {
  const cases: readonly [Partial<LogSettings>, string][] = [
    [{ isOn: false }, 'log_bin'],
    [{ baseName: 'my bin' }, 'log_bin-name'],
    [{ baseName: 'büro' }, 'log_bin-name'],
    [{ format: 'MIXED' }, 'binlog_format'],
    [{ checksum: 'NONE' }, 'binlog_checksum'],
    [{ syncBinlog: 0 }, 'sync_binlog'],
    [{ serverId: 0 }, 'server_id'],
    [{ expirySeconds: 86_400 }, 'binlog-expiry'],
    [{ rowImage: 'MINIMAL' }, 'binlog_row_image'],
  ];
  for (const [change, check] of cases) {
    it(`${check} is warned of alone, with what to set`, () => {
      const found = checkLog({ ...goodLog, ...change }).filter(isComplaint);
      assert.deepEqual(
        found.map((finding) => finding.check),
        [check],
      );
      assert.match(found[0]?.hint ?? '', /configuration/);
    });
  }

  it('are well when log is kept for a weekend', () => {
    const kept = { ...goodLog, expirySeconds: 3 * 86_400 };
    assert.deepEqual(checkLog(kept).filter(isComplaint), []);
  });
});

describe('a version', () => {
  const severityOf = (flavor: 'mariadb' | 'mysql', serverVersion: string): string =>
    checkVersion({ flavor, serverVersion }).severity;

  it('is fine only where Cairn was run with it', () => {
    assert.equal(severityOf('mariadb', '10.11.2-MariaDB'), 'fine');
    assert.equal(severityOf('mariadb', '11.4.2-MariaDB'), 'warning');
    assert.equal(severityOf('mysql', '8.0.36'), 'warning');
    assert.equal(severityOf('mariadb', '10.4.8-MariaDB'), 'blocking');
    assert.equal(severityOf('mysql', '5.5.62'), 'blocking');
  });
});
