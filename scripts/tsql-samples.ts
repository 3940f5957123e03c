// Every T-SQL text that the SQL Server engine can send, for a fixed list of inputs, with what an
// independent parser must find in it: `npm run print-tsql` prints them, a unit test reads them.

import type { BackupKind, BackupOrder } from '../src/engines/sqlserver/backup-rules.ts';
import type { BackupDevices } from '../src/engines/sqlserver/devices.ts';
import { deviceNames } from '../src/engines/sqlserver/devices.ts';
import type { SqlStatement } from '../src/engines/sqlserver/statement.ts';
import { backupStatement } from '../src/engines/sqlserver/tsql-backup.ts';
import * as credential from '../src/engines/sqlserver/tsql-credential.ts';
import * as database from '../src/engines/sqlserver/tsql-database.ts';
import * as history from '../src/engines/sqlserver/tsql-history.ts';
import * as inspect from '../src/engines/sqlserver/tsql-inspect.ts';
import { mediaStatement, verifyStatement } from '../src/engines/sqlserver/tsql-media.ts';
import type { RestoreStep, StopPoint } from '../src/engines/sqlserver/tsql-restore.ts';
import { recoverStatement, restoreStatement } from '../src/engines/sqlserver/tsql-restore.ts';
import * as session from '../src/engines/sqlserver/tsql-session.ts';
import { CairnError } from '../src/model/errors.ts';
import { Secret } from '../src/model/secret.ts';

export type TsqlExpectation = {
  /** The words that the statement begins with. */
  readonly begins: string;
  /** The database, as a value, an identifier or a literal; null: none is named. */
  readonly database: string | null;
  readonly devices: readonly string[];
  /** Further literals that come back as they were given. */
  readonly literals: readonly string[];
};

export type TsqlSample = {
  readonly name: string;
  readonly statement: SqlStatement;
  readonly expected: TsqlExpectation;
};

const fragments = [
  ...[']', ']]', '[', '[]', "'", "''", '"', ';', '--', '/*', '*/', '\\', '%', '@database', '$(x)'],
  ...['\nGO\n', '\r\nGO\r\n', '\t', ']; DROP DATABASE [x', "'; DROP DATABASE x; --", "N'", ']--'],
  ...['\uff3d', '\uff07', '\u02bc', '\u2019', '\uff1b', '\u{1f4be}', '\u0301', '\u202e', '\u2028'],
];
const templates: readonly ((fragment: string) => string)[] = [
  (fragment) => fragment,
  (fragment) => `${fragment}shop`,
  (fragment) => `shop${fragment}`,
  (fragment) => `shop${fragment}2`,
  (fragment) => `${fragment}${fragment}`,
  (fragment) => `a ${fragment} b`,
  (fragment) => `${fragment}]'`,
];

/** Names that a database can have and that quoting must survive. */
export const hostileNames: readonly string[] = [
  ...new Set([
    ...fragments.flatMap((fragment) => templates.map((template) => template(fragment))),
    ...[']'.repeat(128), "'".repeat(128), '\u{1f4be}'.repeat(64), '[a](b)', 'SELECT', '0'],
  ]),
];

/** What is refused instead of quoted. */
export const impossibleNames: readonly string[] = [
  ...[
    '',
    'a\0b',
    '\0',
    'x'.repeat(129),
    ']'.repeat(129),
    '\u{1f4be}'.repeat(65),
    '\ud83d',
    'a\udcbe',
  ],
];

const disk = {
  kind: 'disk',
  platform: 'windows',
  paths: ['D:\\backups\\1 of 2.bak', '\\\\files\\backups\\2 of 2.bak'],
} as const satisfies BackupDevices;
const linuxDisk = {
  kind: 'disk',
  platform: 'linux',
  paths: ['/var/opt/mssql/backup/shop.bak'],
} as const satisfies BackupDevices;
const s3 = {
  kind: 's3',
  urls: [
    's3://store.example:9000/backups/shop-1.bak',
    's3://store.example:9000/backups/shop-2.bak',
  ],
  region: 'eu-west-1',
} as const satisfies BackupDevices;
const stripes: BackupDevices = {
  kind: 'disk',
  platform: 'linux',
  paths: Array.from({ length: 64 }, (_, index) => `/backup/${index}.bak`),
};

export const sampleOrder: BackupOrder = {
  kind: 'full',
  server: { majorVersion: 16, edition: 'Enterprise Edition (64-bit)', engineEdition: 3 },
  database: {
    name: 'shop',
    state: 'ONLINE',
    recoveryModel: 'FULL',
    hasLogChain: true,
    isEncrypted: false,
    replicaRole: 'none',
  },
  devices: disk,
  isCopyOnly: false,
  compression: 'on',
  encryption: null,
  sizes: { transferBytes: null, bufferCount: null, blockBytes: null },
  estimatedBytes: null,
  label: 'Cairn 0042',
  description: "It's [a] backup -- of Cairn",
};

const kinds: readonly BackupKind[] = [
  ...(['full', 'differential', 'log', 'tail-log', 'tail-log-of-damaged'] as const),
];
const stops: readonly StopPoint[] = [
  { kind: 'time', localTime: '2026-11-24T21:00:00.997' },
  { kind: 'lsn', lsn: 34000000017600037n, isInclusive: true },
  { kind: 'lsn', lsn: 34000000017600037n, isInclusive: false },
  { kind: 'mark', mark: "before 'the' change]", isInclusive: true },
  { kind: 'mark', mark: 'before', isInclusive: false },
];

export const sampleStep: RestoreStep = {
  kind: 'full',
  database: 'shop_restored',
  platform: 'windows',
  devices: disk,
  moves: [
    { logicalName: "sh'op", path: 'D:\\data\\shop_1.mdf' },
    { logicalName: 'shop]_log', path: 'L:\\log\\shop_2.ldf' },
  ],
  stop: null,
  standbyPath: null,
  replace: 'never',
};

const key = { url: 's3://store.example:9000/backups', accessKeyId: 'AKIDEXAMPLE1' };
const secretKey = new Secret('secretExample2');

/** In a fixed order. */
export function tsqlSamples(): readonly TsqlSample[] {
  return [...backups(), ...restores(), ...media(), ...others(), ...hostileNames.flatMap(hostile)];
}

function backups(): readonly TsqlSample[] {
  const sizes = { transferBytes: 4_194_304, bufferCount: 32, blockBytes: 65_536 };
  const encryption = { algorithm: 'AES_256', certificate: 'backup]cert' } as const;
  return [
    ...[disk, linuxDisk, s3].flatMap((devices) => kinds.map((kind) => backup({ kind, devices }))),
    backup({ devices: stripes }),
    backup({ isCopyOnly: true }),
    backup({ kind: 'log', isCopyOnly: true }),
    backup({ compression: 'off' }),
    backup({ sizes }),
    backup({ encryption }),
    backup({ devices: s3, sizes: { ...sizes, transferBytes: 20_971_520 }, encryption }),
    backup({ devices: { ...s3, region: null } }),
  ];
}

function backup(changes: Partial<BackupOrder>): TsqlSample {
  const order = { ...sampleOrder, ...changes };
  const isData = order.kind === 'full' || order.kind === 'differential';
  return sample(backupStatement(order), {
    begins: isData ? 'BACKUP DATABASE' : 'BACKUP LOG',
    database: order.database.name,
    devices: deviceNames(order.devices),
  });
}

function restores(): readonly TsqlSample[] {
  return [
    ...[disk, s3].flatMap((devices) => [
      restore({ devices }),
      restore({ devices, kind: 'differential', moves: [] }),
      restore({ devices, kind: 'log', moves: [] }),
    ]),
    ...stops.map((stop) => restore({ kind: 'log', moves: [], stop })),
    restore({ stop: stops[0] ?? null }),
    restore({ kind: 'log', moves: [], standbyPath: 'D:\\data\\shop.undo' }),
    ...stops.map((stop) => restore({ kind: 'log', moves: [], stop, recovers: 'where-it-stops' })),
    restore({ replace: 'existing-database' }),
    sample(recoverStatement('shop'), { begins: 'RESTORE DATABASE', database: 'shop' }),
  ];
}

function restore(changes: Partial<RestoreStep>): TsqlSample {
  const step = { ...sampleStep, ...changes };
  return sample(restoreStatement(step), {
    begins: step.kind === 'log' ? 'RESTORE LOG' : 'RESTORE DATABASE',
    database: step.database,
    devices: deviceNames(step.devices),
    literals: step.stop?.kind === 'mark' ? [step.stop.mark] : [],
  });
}

function media(): readonly TsqlSample[] {
  return [linuxDisk, disk, s3].flatMap((devices) => {
    const all = deviceNames(devices);
    const verify = { begins: 'RESTORE VERIFYONLY', devices: all };
    return [
      sample(verifyStatement(devices, 'leave-history'), verify),
      sample(verifyStatement(devices, 'load-history'), verify),
      ...(['header', 'file-list', 'label'] as const).map((question) =>
        sample(mediaStatement(question, devices), {
          begins: 'RESTORE',
          devices: all.slice(0, 1),
        }),
      ),
    ];
  });
}

function others(): readonly TsqlSample[] {
  const select = [
    ...[inspect.serverStatement(), inspect.databasesStatement(), inspect.loginsStatement()],
    ...[inspect.databaseFilesStatement(), inspect.encryptionKeysStatement()],
    ...[inspect.certificatesStatement(), inspect.replicasStatement()],
    ...[inspect.serverRightsStatement(), inspect.databaseRightsStatement()],
    ...[credential.credentialsStatement(), session.sessionIdStatement()],
    ...[history.newestBackupStatement(), history.logsByDeviceStatement('cairn-log-', 7)],
    history.foreignBackupsStatement(14),
    session.progressStatement(51),
    session.serverOffsetsStatement(new Date('2026-10-25T00:30:00Z'), 16),
  ];
  const withSecret = { literals: [credential.s3Identity, 'AKIDEXAMPLE1:secretExample2', key.url] };
  return [
    ...select.map((statement) => sample(statement, { begins: 'SELECT' })),
    sample(credential.createCredentialStatement({ ...key, secretKey }), {
      begins: 'CREATE CREDENTIAL',
      ...withSecret,
    }),
    sample(credential.alterCredentialStatement({ ...key, secretKey }), {
      begins: 'ALTER CREDENTIAL',
      ...withSecret,
    }),
    sample(credential.dropCredentialStatement(key.url), {
      begins: 'DROP CREDENTIAL',
      literals: [key.url],
    }),
  ];
}

/** One name wherever a name can be. */
function hostile(name: string): readonly TsqlSample[] {
  const traits = { ...sampleOrder.database, name };
  const path = `/backup/${name.replaceAll(/[/\p{Cc}]/gu, '_')}.bak`;
  const devices: BackupDevices = { ...linuxDisk, paths: [path] };
  const isMark = !/^lsn:/i.test(name);
  const [data, log] = [{ devices, database: name, platform: 'linux' } as const, 'log' as const];
  return [
    backup({ database: traits, devices: path.length > 200 ? linuxDisk : devices }),
    backup({ database: traits, kind: 'log', devices, label: name, description: name }),
    backup({ encryption: { algorithm: 'AES_256', certificate: name } }),
    restore({ ...data, moves: [{ logicalName: name, path: '/data/1.mdf' }] }),
    ...(isMark
      ? [
          restore({
            ...data,
            kind: log,
            moves: [],
            stop: { kind: 'mark', mark: name, isInclusive: true },
          }),
        ]
      : []),
    sample(recoverStatement(name), { begins: 'RESTORE DATABASE', database: name }),
    sample(database.checkDatabaseStatement(name), { begins: 'DBCC CHECKDB', database: name }),
    sample(database.singleUserStatement(name), { begins: 'ALTER DATABASE', database: name }),
    sample(database.multiUserStatement(name), { begins: 'ALTER DATABASE', database: name }),
    sample(database.renameDatabaseStatement(name, 'shop'), {
      begins: 'ALTER DATABASE',
      database: name,
    }),
    sample(database.renameDatabaseStatement('shop', name), {
      begins: 'ALTER DATABASE',
      database: 'shop',
      literals: [name],
    }),
    sample(database.dropDatabaseStatement(name), { begins: 'DROP DATABASE', database: name }),
    sample(inspect.databaseStateStatement(name), { begins: 'SELECT', database: name }),
    sample(inspect.preferredReplicaStatement(name), { begins: 'SELECT', database: name }),
    sample(history.backupHistoryStatement(name, 7), { begins: 'SELECT', database: name }),
    sample(history.backupByDeviceStatement(name, path), { begins: 'SELECT', database: name }),
    sample(history.lastLogByDeviceStatement(name, 'cairn-log-', 7), {
      begins: 'SELECT',
      database: name,
    }),
  ];
}

/** Each way in which a name gets into a text, for names that none may get through. */
export const nameGates: Readonly<Record<string, (name: string) => SqlStatement>> = {
  backup: (name) =>
    backupStatement({ ...sampleOrder, database: { ...sampleOrder.database, name } }),
  certificate: (name) =>
    backupStatement({ ...sampleOrder, encryption: { algorithm: 'AES_128', certificate: name } }),
  restore: (name) => restoreStatement({ ...sampleStep, database: name }),
  move: (name) =>
    restoreStatement({ ...sampleStep, moves: [{ logicalName: name, path: 'D:\\a.mdf' }] }),
  mark: (name) =>
    restoreStatement({
      ...{ ...sampleStep, kind: 'log', moves: [] },
      stop: { kind: 'mark', mark: name, isInclusive: false },
    }),
  recover: recoverStatement,
  check: database.checkDatabaseStatement,
  'single-user': database.singleUserStatement,
  'multi-user': database.multiUserStatement,
  drop: database.dropDatabaseStatement,
  rename: (name) => database.renameDatabaseStatement(name, 'shop'),
  'new-name': (name) => database.renameDatabaseStatement('shop', name),
  state: inspect.databaseStateStatement,
  replica: inspect.preferredReplicaStatement,
  history: (name) => history.backupHistoryStatement(name, 0),
  device: (name) => history.backupByDeviceStatement(name, '/backup/a.bak'),
  'last-log': (name) => history.lastLogByDeviceStatement(name, 'cairn-log-', 7),
  credential: credential.dropCredentialStatement,
};

/** The kind of the refusal; null when it was let through. */
export function refusalOf(gate: (name: string) => SqlStatement, name: string): string | null {
  try {
    gate(name);
    return null;
  } catch (error) {
    return error instanceof CairnError ? error.kind : String(error);
  }
}

function sample(
  statement: SqlStatement,
  expected: Partial<TsqlExpectation> & Pick<TsqlExpectation, 'begins'>,
): TsqlSample {
  return {
    name: statement.name,
    statement,
    expected: { database: null, devices: [], literals: [], ...expected },
  };
}
