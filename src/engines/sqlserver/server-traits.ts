// What of a server and a database decides on the statements that it takes. Facts, as the probe has
// read them; null means that nobody could tell.

/** `SERVERPROPERTY('EngineEdition')`. */
export const engineEditions = {
  standard: 2,
  enterprise: 3,
  express: 4,
  azureDatabase: 5,
  azureManagedInstance: 8,
} as const;

export type ServerTraits = {
  /** 13 is 2016, 14 is 2017, 15 is 2019, 16 is 2022, 17 is 2025. */
  readonly majorVersion: number;
  /** `Standard Edition (64-bit)` */
  readonly edition: string;
  readonly engineEdition: number;
};

export type RecoveryModel = 'SIMPLE' | 'FULL' | 'BULK_LOGGED';

export type DatabaseTraits = {
  readonly name: string;
  /** `sys.databases.state_desc` */
  readonly state: string;
  readonly recoveryModel: RecoveryModel;
  /**
   * Whether a log backup can be taken: under FULL and BULK_LOGGED not before the first full backup.
   */
  readonly hasLogChain: boolean | null;
  /** Transparent data encryption. */
  readonly isEncrypted: boolean;
  /** In an availability group; `none` outside one. */
  readonly replicaRole: 'none' | 'primary' | 'secondary' | null;
};

/** Web is told from Standard by its name only. */
export function isSmallEdition({ edition, engineEdition }: ServerTraits): boolean {
  return engineEdition === engineEditions.express || /^web\b/i.test(edition);
}

/** Whether it writes backups to S3 and restores from there: from 2022 on. */
export function hasS3Connector({
  majorVersion,
  engineEdition,
}: Pick<ServerTraits, 'majorVersion' | 'engineEdition'>): boolean {
  return majorVersion >= 16 && engineEdition !== engineEditions.express;
}
