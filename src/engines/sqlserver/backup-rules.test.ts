import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { sampleOrder } from '../../../scripts/tsql-samples.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupOrder, TransferSizes } from './backup-rules.ts';
import { backupRules } from './backup-rules.ts';
import type { BackupDevices } from './devices.ts';
import type { DatabaseTraits, ServerTraits } from './server-traits.ts';
import { backupStatement } from './tsql-backup.ts';

type Changes = Partial<Omit<BackupOrder, 'database' | 'server' | 'sizes'>> & {
  readonly database?: Partial<DatabaseTraits>;
  readonly server?: Partial<ServerTraits>;
  readonly sizes?: Partial<TransferSizes>;
};

function order({ database, server, sizes, ...rest }: Changes): BackupOrder {
  return {
    ...sampleOrder,
    ...rest,
    database: { ...sampleOrder.database, ...database },
    server: { ...sampleOrder.server, ...server },
    sizes: { ...sampleOrder.sizes, ...sizes },
  };
}

const s3: BackupDevices = { kind: 's3', urls: ['s3://store:9000/b/a.bak'], region: null };
const encryption = { algorithm: 'AES_256', certificate: 'backup' } as const;
const express = { edition: 'Express Edition (64-bit)', engineEdition: 4 };
const web = { edition: 'Web Edition (64-bit)', engineEdition: 2 };
const mebibyte = 1024 * 1024;

/** What is asked for, and the words of the rule that refuses it; null: it is taken. */
const cases: readonly (readonly [string, Changes, RegExp | null])[] = [
  ['a plain full backup', {}, null],
  ['Azure SQL Database', { server: { engineEdition: 5 } }, /Azure SQL Database/],
  ['tempdb', { database: { name: 'TempDB' } }, /tempdb/],
  ['master in full', { database: { name: 'master', recoveryModel: 'SIMPLE' } }, null],
  ['a differential of master', { kind: 'differential', database: { name: 'master' } }, /master/],
  ['a log of master', { kind: 'log', database: { name: 'master' } }, /master/],
  ['a database that is suspect', { database: { state: 'SUSPECT' } }, /not online/],
  ['the log of one', { kind: 'log', database: { state: 'SUSPECT' } }, /not online/],
  ['the tail of one', { kind: 'tail-log-of-damaged', database: { state: 'SUSPECT' } }, null],
  [
    'its tail as if it were sound',
    { kind: 'tail-log', database: { state: 'SUSPECT' } },
    /not online/,
  ],
  [
    'the tail of an offline database',
    { kind: 'tail-log-of-damaged', database: { state: 'OFFLINE' } },
    /offline/,
  ],
  ['a log in SIMPLE', { kind: 'log', database: { recoveryModel: 'SIMPLE' } }, /SIMPLE/],
  ['a tail in SIMPLE', { kind: 'tail-log', database: { recoveryModel: 'SIMPLE' } }, /SIMPLE/],
  [
    'a differential in SIMPLE',
    { kind: 'differential', database: { recoveryModel: 'SIMPLE' } },
    null,
  ],
  ['a log in BULK_LOGGED', { kind: 'log', database: { recoveryModel: 'BULK_LOGGED' } }, null],
  ['a log before any full', { kind: 'log', database: { hasLogChain: false } }, /first full/],
  ['a log when nobody knows', { kind: 'log', database: { hasLogChain: null } }, null],
  ['a copy-only differential', { kind: 'differential', isCopyOnly: true }, /cannot be copy-only/],
  ['a copy-only full', { isCopyOnly: true }, null],
  ['a copy-only log', { kind: 'log', isCopyOnly: true }, null],
  ['a copy-only tail', { kind: 'tail-log', isCopyOnly: true }, /tail/],
  ['a Managed Instance to disk', { server: { engineEdition: 8 }, isCopyOnly: true }, /Managed/],
  ['a Managed Instance in full', { server: { engineEdition: 8 }, devices: s3 }, /Managed/],
  ['a Managed Instance', { server: { engineEdition: 8 }, devices: s3, isCopyOnly: true }, null],
  ['a full of a secondary', { database: { replicaRole: 'secondary' } }, /secondary/],
  ['a copy of a secondary', { database: { replicaRole: 'secondary' }, isCopyOnly: true }, null],
  ['a log of a secondary', { kind: 'log', database: { replicaRole: 'secondary' } }, null],
  [
    'a differential of a secondary',
    { kind: 'differential', database: { replicaRole: 'secondary' } },
    /secondary/,
  ],
  ['compression by Express', { server: express }, /compress/],
  ['compression by Web', { server: web }, /compress/],
  ['Express without', { server: express, compression: 'off' }, null],
  ['encryption by Web', { server: web, compression: 'off', encryption }, /encrypt/],
  ['encryption', { encryption }, null],
  ['S3 from 2019', { devices: s3, server: { majorVersion: 15 } }, /2022/],
  ['S3 from Express', { devices: s3, server: express, compression: 'off' }, /2022/],
  ['a transfer of 4 MiB', { sizes: { transferBytes: 4 * mebibyte } }, null],
  ['a transfer of more', { sizes: { transferBytes: 4 * mebibyte + 65_536 } }, /transfer is out/],
  ['a transfer of nothing', { sizes: { transferBytes: 0 } }, /transfer is out/],
  ['a transfer between steps', { sizes: { transferBytes: 100_000 } }, /transfer is out/],
  ['a transfer that is no number', { sizes: { transferBytes: Number.NaN } }, /transfer is out/],
  ['4 MiB to S3', { devices: s3, sizes: { transferBytes: 4 * mebibyte } }, /transfer is out/],
  ['5 MiB to S3', { devices: s3, sizes: { transferBytes: 5 * mebibyte } }, null],
  ['20 MiB to S3', { devices: s3, sizes: { transferBytes: 20 * mebibyte } }, null],
  ['21 MiB to S3', { devices: s3, sizes: { transferBytes: 21 * mebibyte } }, /transfer is out/],
  [
    '20 MiB to S3 without compression',
    { devices: s3, compression: 'off', sizes: { transferBytes: 20 * mebibyte } },
    /compressed backups only/,
  ],
  ['S3 without compression', { devices: s3, compression: 'off' }, null],
  [
    'small transfers of an encrypted database',
    { database: { isEncrypted: true }, sizes: { transferBytes: 65_536 } },
    /64 KiB/,
  ],
  ['no buffers', { sizes: { bufferCount: 0 } }, /buffers/],
  ['too many buffers', { sizes: { bufferCount: 1025 } }, /buffers/],
  ['buffers to S3', { devices: s3, sizes: { bufferCount: 32 } }, null],
  ['a block of 65536', { sizes: { blockBytes: 65_536 } }, null],
  ['a block of 3000', { sizes: { blockBytes: 3000 } }, /block/],
  ['a block of 256', { sizes: { blockBytes: 256 } }, /block/],
  ['what fills the parts of S3', { devices: s3, estimatedBytes: 100_000 * mebibyte }, null],
  ['one byte more', { devices: s3, estimatedBytes: 100_000 * mebibyte + 1 }, /does not fit/],
  [
    'that in larger parts',
    {
      devices: s3,
      estimatedBytes: 200_000 * mebibyte,
      sizes: { transferBytes: 20 * mebibyte },
    },
    null,
  ],
  ['that on disk', { estimatedBytes: 1e15 }, null],
];

suite('conflicts of a backup', () => {
  for (const [what, changes, refusal] of cases) {
    test(`${what}: ${refusal === null ? 'taken' : 'refused'}`, () => {
      if (refusal === null) {
        assert.match(String(backupStatement(order(changes)).text), /^BACKUP /);
        return;
      }
      assert.throws(
        () => backupStatement(order(changes)),
        (error) => {
          assert.ok(error instanceof CairnError);
          assert.equal(error.kind, 'invalid');
          assert.match(error.message, refusal);
          assert.ok(error.hint);
          return true;
        },
      );
    });
  }

  test('has a case for every rule', () => {
    const refused = cases.flatMap(([, changes]) => {
      const rule = backupRules.find(({ refuses }) => refuses(order(changes)));
      return rule === undefined ? [] : [rule.rule];
    });
    assert.deepEqual(
      backupRules.map(({ rule }) => rule).filter((rule) => !refused.includes(rule)),
      [],
    );
  });
});
