// BACKUP DATABASE and BACKUP LOG (SQL Server documentation, "BACKUP"). One backup set a file, each
// in a file or object of its own: FORMAT writes a new one, and implies SKIP.
import type { BackupOrder } from './backup-rules.ts';
import { checkBackupOrder, descriptionMax, labelMax } from './backup-rules.ts';
import { checkDevices, renderDevices, renderRegion } from './devices.ts';
import { checkIdentifier, checkText, quoteIdentifier } from './identifier.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';

/** Messages about progress come each so many percent, roughly. */
export const progressPercent = 5;

/**
 * The statement for one backup. It ends with an error or with message 3014; neither is proof: look
 * the backup up in the server's history. @throws invalid for what the server would refuse or ignore
 */
export function backupStatement(order: BackupOrder): SqlStatement {
  checkDevices(order.devices);
  checkBackupOrder(order);
  const parameters = new ParameterList();
  const database = parameters.sysname('database', checkIdentifier(order.database.name));
  const devices = renderDevices(order.devices, parameters);
  const options = [
    ...kindOptions(order),
    ...mediaOptions(order),
    ...sizeOptions(order),
    ...labelOptions(order, parameters),
    ...encryptionOptions(order),
    ...renderRegion(order.devices, 'BACKUP_OPTIONS'),
    `STATS = ${progressPercent}`,
  ];
  const what = order.kind === 'full' || order.kind === 'differential' ? 'DATABASE' : 'LOG';
  return {
    name: `backup-${order.kind}`,
    text: `BACKUP ${what} ${database} TO ${devices} WITH ${options.join(', ')}`,
    parameters: parameters.items,
  };
}

function kindOptions({ kind, isCopyOnly }: BackupOrder): readonly string[] {
  switch (kind) {
    case 'full':
    case 'log':
      return isCopyOnly ? ['COPY_ONLY'] : [];
    case 'differential':
      return ['DIFFERENTIAL'];
    case 'tail-log':
      return ['NORECOVERY'];
    case 'tail-log-of-damaged':
      return ['NO_TRUNCATE', 'NORECOVERY'];
  }
}

function mediaOptions({ devices, compression }: BackupOrder): readonly string[] {
  return [
    'FORMAT',
    // The S3 connector knows neither INIT nor NOINIT: there is nothing to append to.
    ...(devices.kind === 'disk' ? ['INIT'] : []),
    'CHECKSUM',
    // Said in either case, because the default is a setting of the server.
    compression === 'on' ? 'COMPRESSION' : 'NO_COMPRESSION',
  ];
}

function sizeOptions({ sizes }: BackupOrder): readonly string[] {
  const options = {
    MAXTRANSFERSIZE: sizes.transferBytes,
    BUFFERCOUNT: sizes.bufferCount,
    BLOCKSIZE: sizes.blockBytes,
  };
  return Object.entries(options).flatMap(([word, value]) =>
    value === null ? [] : [`${word} = ${value}`],
  );
}

function labelOptions(order: BackupOrder, parameters: ParameterList): readonly string[] {
  const label = checkText(order.label, { what: 'label', lengthMax: labelMax });
  const description = checkText(order.description, {
    what: 'description',
    lengthMax: descriptionMax,
  });
  return [
    `NAME = ${parameters.text('label', label, labelMax)}`,
    `DESCRIPTION = ${parameters.text('description', description, descriptionMax)}`,
  ];
}

function encryptionOptions({ encryption }: BackupOrder): readonly string[] {
  if (encryption === null) return [];
  const certificate = quoteIdentifier(encryption.certificate);
  return [`ENCRYPTION (ALGORITHM = ${encryption.algorithm}, SERVER CERTIFICATE = ${certificate})`];
}
