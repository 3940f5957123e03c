// Logical backups: what some databases contain, as the engine's own tools export and import it. The
// files of such a backup are pieces: those of one folder, one after another, are one export.
import type { Connection } from '../model/instance.ts';
import type { Logger } from '../platform/logger.ts';
import type { BaseBackupOptions, BaseBackupResult, SourceFile, SourceListing } from './engine.ts';
import type { Recovery } from './log-source.ts';

export type LogicalBackupOptions = Omit<BaseBackupOptions, 'label' | 'previous'> & {
  readonly databases: readonly string[];
};

/** A file as people know it, whatever pieces it is stored in. */
export type LogicalFile = {
  /** Null: it belongs to no database, but to the whole server. */
  readonly databaseName: string | null;
  /** A suggestion; may hold anything that a name of a database may. */
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly parts: readonly SourceFile[];
};

/** What a restore of databases reads from. */
export interface LogicalSource extends SourceListing {
  /** The bytes of whole files one after another. @throws repository-damaged */
  stream(files: readonly SourceFile[], signal: AbortSignal): AsyncGenerator<Uint8Array>;
}

export type DatabaseName = { readonly oldName: string; readonly newName: string };

export type DatabaseRestoreOptions = {
  readonly source: LogicalSource;
  /** None may exist under its new name, unless it is replaced. Empty: all, as they are called. */
  readonly databases: readonly DatabaseName[];
  /** To this moment; null: as the backup has them. Only of engines without servers of our own. */
  readonly recovery: Recovery | null;
  /**
   * What has a new name already makes room, when the new one is whole: its last log is saved first,
   * and it stays on the server under another name. Only of engines without servers of our own.
   */
  readonly replace: boolean;
  /** What roles that the target lacks mean: they are made, or the restore is refused. */
  readonly missingRoles: 'create' | 'refuse';
  /** Names what an attempt leaves when it dies; the next one of that tag removes it. */
  readonly tag: string;
  readonly onProgress: (phase: string, doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type RestoredDatabase = DatabaseName & {
  /** Null: an earlier attempt has counted them. */
  readonly tableCount: number | null;
  /** Counted where they come from and in the restored database: the same. */
  readonly rowCount: number | null;
  /** What else was done and found: lines of text for people. */
  readonly notes?: readonly string[];
};

export type TableName = {
  readonly schema: string;
  readonly oldName: string;
  readonly newName: string;
};

export type RestoredTable = TableName & { readonly database: string; readonly rowCount: number };

export type CopyOptions = Pick<DatabaseRestoreOptions, 'tag' | 'onProgress' | 'signal' | 'log'> & {
  /** A server that was restored for this alone: it may be changed. */
  readonly from: Connection;
};
export type DatabaseCopyOptions = CopyOptions & { readonly databases: readonly DatabaseName[] };
export type TableCopyOptions = CopyOptions & {
  readonly databases: readonly {
    readonly database: string;
    readonly tables: readonly TableName[];
  }[];
};

export interface LogicalDriver {
  /**
   * Which of the names are no databases that can be exported. @throws engine-unreachable,
   * engine-refused
   */
  findMissingDatabases(
    connection: Connection,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /**
   * Exports the databases, each as of one moment of its own, and what belongs to the whole server.
   * Answers when all of it was read and found whole.
   * @throws invalid (database-unknown); engine-unreachable, engine-refused; what the sink throws
   */
  takeLogicalBackup(
    connection: Connection,
    options: LogicalBackupOptions,
  ): Promise<BaseBackupResult>;
  /** As `restoreDatabases`, from another server. @throws the same */
  copyDatabases(
    connection: Connection,
    options: DatabaseCopyOptions,
  ): Promise<readonly RestoredDatabase[]>;
  /**
   * Copies tables into databases that have the same schemas, under new names, without foreign keys
   * and triggers. @throws invalid (table-unknown), conflict (table-name-taken), engine-refused
   */
  copyTables(connection: Connection, options: TableCopyOptions): Promise<readonly RestoredTable[]>;
  /** The files of a logical backup; null: it is none. */
  logicalFiles(source: SourceListing): readonly LogicalFile[] | null;
  /** What to type to import one of them by hand, once it lies at that path. */
  importCommands(file: LogicalFile, path: string): readonly string[];
  /**
   * Imports databases under new names: all of them or none, each appears under its name when it is
   * whole. @throws invalid (database-unknown), conflict (database-name-taken), engine-refused
   * (also when rows are missing), repository-damaged
   */
  restoreDatabases(
    connection: Connection,
    options: DatabaseRestoreOptions,
  ): Promise<readonly RestoredDatabase[]>;
}
