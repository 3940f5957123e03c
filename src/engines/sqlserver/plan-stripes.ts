// Into how many files the server writes one backup. Pure.
import type { BackupDevices } from './devices.ts';
import { devicesMax } from './devices.ts';

const gibibyte = 1024 ** 3;

/**
 * A file is as much as a share may be asked to hold in one; an object has 10,000 parts of 10 MiB at
 * most (SQL Server documentation, "SQL Server backup to URL for S3-compatible object storage"), of
 * which a good part is left free, as sizes are estimates.
 */
const stripeBytes: Readonly<Record<BackupDevices['kind'], number>> = {
  disk: 256 * gibibyte,
  s3: 64 * gibibyte,
};
/** For a database of which nobody may see the size. */
const unknownSize: Readonly<Record<BackupDevices['kind'], number>> = { disk: 1, s3: 8 };

/** `sizeBytes`: of the files of the database; null: not known. */
export function planStripes(sizeBytes: number | null, kind: BackupDevices['kind']): number {
  if (sizeBytes === null) return unknownSize[kind];
  return Math.min(devicesMax, Math.max(1, Math.ceil(sizeBytes / stripeBytes[kind])));
}
