// What a backup says of itself (SQL Server documentation, "RESTORE VERIFYONLY", "HEADERONLY",
// "FILELISTONLY", "LABELONLY"). All need the right to create databases. The answers are not ours to
// convert: log positions in them are numeric(25,0), of which a client that reads numbers loses
// digits. Take them from the server's history instead, after `LOADHISTORY` where it is another one.
import type { BackupDevices } from './devices.ts';
import { deviceNames, renderDevices, renderRegion } from './devices.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';

export type MediaQuestion = 'header' | 'file-list' | 'label';

const words = {
  header: 'HEADERONLY',
  'file-list': 'FILELISTONLY',
  label: 'LABELONLY',
} as const satisfies Record<MediaQuestion, string>;

/**
 * Reads all of a backup and its checksums, restores nothing and looks into no page. With
 * `load-history` the server adds the backup to its history, where positions can be read exactly.
 * @throws invalid
 */
export function verifyStatement(
  devices: BackupDevices,
  history: 'leave-history' | 'load-history',
): SqlStatement {
  const parameters = new ParameterList();
  const options = [
    ...(devices.kind === 'disk' ? ['FILE = 1'] : []),
    ...(history === 'load-history' ? ['LOADHISTORY'] : []),
    'CHECKSUM',
    ...renderRegion(devices, 'RESTORE_OPTIONS'),
    'STATS = 10',
  ];
  const from = renderDevices(devices, parameters);
  return {
    name: 'verify-backup',
    text: `RESTORE VERIFYONLY FROM ${from} WITH ${options.join(', ')}`,
    parameters: parameters.items,
  };
}

/**
 * Of the first device: each stripe knows the whole. A header has one row, as each file holds one
 * backup. @throws invalid
 */
export function mediaStatement(question: MediaQuestion, devices: BackupDevices): SqlStatement {
  const parameters = new ParameterList();
  const device = renderDevices(firstDevice(devices), parameters);
  const options = [
    ...(devices.kind === 'disk' && question !== 'label' ? ['FILE = 1'] : []),
    ...renderRegion(devices, 'RESTORE_OPTIONS'),
  ];
  const suffix = options.length === 0 ? '' : ` WITH ${options.join(', ')}`;
  return {
    name: `read-${question}`,
    text: `RESTORE ${words[question]} FROM ${device}${suffix}`,
    parameters: parameters.items,
  };
}

function firstDevice(devices: BackupDevices): BackupDevices {
  const first = deviceNames(devices).slice(0, 1);
  return devices.kind === 'disk' ? { ...devices, paths: first } : { ...devices, urls: first };
}
