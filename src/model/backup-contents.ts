/** A table as people name it. */
export type ListedTable = {
  /** Empty in engines whose databases have no schemas. */
  readonly schema: string;
  readonly name: string;
};

export type ListedDatabase = { readonly name: string; readonly tables: readonly ListedTable[] };

/**
 * The databases and tables of a whole server as a backup has found them: for people who choose what
 * to restore, not for a restore.
 */
export type BackupContents = {
  /** False: some were left out, for there are too many, or some could not be looked at. */
  readonly isComplete: boolean;
  readonly databases: readonly ListedDatabase[];
};

/** More are not listed. */
export const contentsLimits = { databasesMax: 2_000, tablesMax: 20_000 } as const;
