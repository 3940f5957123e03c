// Which backups a server would refuse, ignore half of, or take and make worthless: decided before
// anything is sent (SQL Server documentation, "BACKUP", "SQL Server backup to URL for S3-compatible
// object storage", "Copy-only backups", "Backup encryption"). A parser knows nothing of these.
import { CairnError } from '../../model/errors.ts';
import type { BackupDevices } from './devices.ts';
import { deviceNames } from './devices.ts';
import type { DatabaseTraits, ServerTraits } from './server-traits.ts';
import { engineEditions, hasS3Connector, isSmallEdition } from './server-traits.ts';

export type BackupKind =
  | 'full'
  | 'differential'
  | 'log'
  /** The end of the log of a sound database; leaves it restoring. */
  | 'tail-log'
  /** The same of a damaged one, regardless of its state and of errors on the way. */
  | 'tail-log-of-damaged';

export type TransferSizes = {
  /** The unit of reading and writing, and the size of a part in S3; null: the server's choice. */
  readonly transferBytes: number | null;
  readonly bufferCount: number | null;
  readonly blockBytes: number | null;
};

export type BackupOrder = {
  readonly kind: BackupKind;
  readonly server: ServerTraits;
  readonly database: DatabaseTraits;
  readonly devices: BackupDevices;
  /** Leaves differential base and log chain to another tool. */
  readonly isCopyOnly: boolean;
  readonly compression: 'on' | 'off';
  /** By the server, with a certificate of its master database; null: none. */
  readonly encryption: BackupEncryption | null;
  readonly sizes: TransferSizes;
  /** Null: not known. */
  readonly estimatedBytes: number | null;
  /** Seen in the server's history. */
  readonly label: string;
  readonly description: string;
};

export type BackupEncryption = {
  readonly algorithm: 'AES_128' | 'AES_192' | 'AES_256';
  readonly certificate: string;
};

export const labelMax = 128;
export const descriptionMax = 255;

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const transferStepBytes = 64 * kibibyte;
const transferLimits = {
  disk: { min: transferStepBytes, max: 4 * mebibyte },
  s3: { min: 5 * mebibyte, max: 20 * mebibyte },
} as const;
const s3DefaultTransferBytes = 10 * mebibyte;
const s3PartsMax = 10_000;
/** More would only take memory from the databases. */
const bufferCountMax = 1024;

type Rule = {
  readonly rule: string;
  readonly refuses: (order: BackupOrder) => boolean;
  readonly hint: string;
};

const isLog = ({ kind }: BackupOrder): boolean =>
  kind === 'log' || kind === 'tail-log' || kind === 'tail-log-of-damaged';
const isTail = ({ kind }: BackupOrder): boolean => isLogTail(kind);
const isLogTail = (kind: BackupKind): boolean => kind.startsWith('tail-log');
const isManagedInstance = ({ server }: BackupOrder): boolean =>
  server.engineEdition === engineEditions.azureManagedInstance;
const isSecondary = ({ database }: BackupOrder): boolean => database.replicaRole === 'secondary';
const isInteger = (value: number, min: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= min && value <= max;

/** In this order: the first one that applies is what the user is told. */
export const backupRules: readonly Rule[] = [
  {
    rule: 'Azure SQL Database has no backups of this kind',
    refuses: ({ server }) => server.engineEdition === engineEditions.azureDatabase,
    hint: 'Its backups are made by the cloud provider; export the database instead.',
  },
  {
    rule: 'tempdb cannot be backed up',
    refuses: ({ database }) => database.name.toLowerCase() === 'tempdb',
    hint: 'It is made anew whenever the server starts.',
  },
  {
    rule: 'master can only be backed up in full',
    refuses: ({ database, kind }) => database.name.toLowerCase() === 'master' && kind !== 'full',
    hint: 'Ask for a full backup of it.',
  },
  {
    rule: 'the database is not online',
    refuses: ({ database, kind }) => database.state !== 'ONLINE' && kind !== 'tail-log-of-damaged',
    hint: 'Bring it online first; of a damaged database only the tail of the log can be saved.',
  },
  {
    rule: 'an offline or emergency database cannot be backed up',
    refuses: ({ database }) => ['OFFLINE', 'EMERGENCY', 'RESTORING'].includes(database.state),
    hint: 'SQL Server takes no backup in this state, not even of the log.',
  },
  {
    rule: 'the log of a database in the SIMPLE recovery model cannot be backed up',
    refuses: (order) => isLog(order) && order.database.recoveryModel === 'SIMPLE',
    hint: 'ALTER DATABASE … SET RECOVERY FULL, then take a full backup.',
  },
  {
    rule: 'the log cannot be backed up before the first full backup',
    refuses: ({ kind, database }) => kind === 'log' && database.hasLogChain === false,
    hint: 'Take a full backup that is not copy-only; the log is kept from then on.',
  },
  {
    // The server would ignore COPY_ONLY, and take a differential backup that counts.
    rule: 'a differential backup cannot be copy-only',
    refuses: ({ kind, isCopyOnly }) => kind === 'differential' && isCopyOnly,
    hint: 'Take a full backup, or let the backups of this database be ours alone.',
  },
  {
    rule: 'the tail of the log cannot be copy-only',
    refuses: (order) => isTail(order) && order.isCopyOnly,
    hint: 'It ends the log of the database on purpose.',
  },
  {
    rule: 'a Managed Instance takes copy-only backups to a URL only',
    refuses: (order) =>
      isManagedInstance(order) &&
      (order.kind !== 'full' || !order.isCopyOnly || order.devices.kind !== 's3'),
    hint: 'Ask for a copy-only full backup to object storage.',
  },
  {
    rule: 'a secondary replica takes no differential backups',
    refuses: (order) => order.kind === 'differential' && isSecondary(order),
    hint: 'Register the primary replica, or take full backups.',
  },
  {
    rule: 'a secondary replica takes full backups as copy-only ones',
    refuses: (order) => order.kind === 'full' && !order.isCopyOnly && isSecondary(order),
    hint: 'Register the primary replica, or ask for copy-only.',
  },
  {
    rule: 'this edition of SQL Server does not compress backups',
    refuses: ({ server, compression }) => compression === 'on' && isSmallEdition(server),
    hint: 'Switch compression by the server off; Cairn compresses what it stores.',
  },
  {
    rule: 'this edition of SQL Server does not encrypt backups',
    refuses: ({ server, encryption }) => encryption !== null && isSmallEdition(server),
    hint: 'Switch encryption by the server off; Cairn encrypts what it stores.',
  },
  {
    rule: 'backups to S3 need SQL Server 2022 or later, and not the Express edition',
    refuses: ({ devices, server }) => devices.kind === 's3' && !hasS3Connector(server),
    hint: 'Back up into a folder that both the server and Cairn can reach.',
  },
  {
    rule: 'the size of a transfer is out of range',
    refuses: ({ devices, sizes: { transferBytes } }) => {
      if (transferBytes === null) return false;
      const { min, max } = transferLimits[devices.kind];
      return !isInteger(transferBytes, min, max) || transferBytes % transferStepBytes !== 0;
    },
    hint: 'In steps of 64 KiB: up to 4 MiB to disk, 5 to 20 MiB to S3.',
  },
  {
    rule: 'the size of a transfer to S3 can be chosen for compressed backups only',
    refuses: ({ devices, sizes, compression }) =>
      devices.kind === 's3' && sizes.transferBytes !== null && compression === 'off',
    hint: 'Switch compression on, or leave the size to the server.',
  },
  {
    // Encrypted pages do not shrink; with more than 64 KiB the server compresses first.
    rule: 'a compressed backup of an encrypted database needs transfers of more than 64 KiB',
    refuses: ({ database, compression, sizes }) =>
      database.isEncrypted && compression === 'on' && sizes.transferBytes === transferStepBytes,
    hint: 'Take 128 KiB or more.',
  },
  {
    rule: 'the number of buffers is out of range',
    refuses: ({ sizes: { bufferCount } }) =>
      bufferCount !== null && !isInteger(bufferCount, 1, bufferCountMax),
    hint: `From 1 to ${bufferCountMax}; each has the size of a transfer.`,
  },
  {
    rule: 'the size of a block is out of range',
    refuses: ({ sizes: { blockBytes } }) =>
      blockBytes !== null && (!isInteger(blockBytes, 512, 65_536) || !isPowerOfTwo(blockBytes)),
    hint: 'A power of two from 512 to 65536 bytes.',
  },
  {
    rule: 'the backup does not fit into the objects that were named',
    refuses: ({ devices, sizes, estimatedBytes }) =>
      devices.kind === 's3' &&
      estimatedBytes !== null &&
      estimatedBytes >
        deviceNames(devices).length * s3PartsMax * (sizes.transferBytes ?? s3DefaultTransferBytes),
    hint: 'An object has 10,000 parts of one transfer each: take larger transfers or more stripes.',
  },
];

const isPowerOfTwo = (value: number): boolean => (value & (value - 1)) === 0;

/** @throws invalid naming the rule, and what to do instead */
export function checkBackupOrder(order: BackupOrder): void {
  const broken = backupRules.find(({ refuses }) => refuses(order));
  if (broken === undefined) return;
  throw new CairnError('invalid', `${broken.rule} (database ${order.database.name})`, {
    hint: broken.hint,
  });
}
