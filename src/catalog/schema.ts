// The tables as Kysely sees them: column names and types are the same in SQLite and PostgreSQL.
// Times are epoch milliseconds, booleans 0/1, JSON is text. Columns named `wrapped_…` hold base64
// of `MasterKey.wrap`.
export type ProjectRow = { id: string; name: string; domain_id: string };

export type UserRow = {
  id: string;
  name: string;
  domain_id: string;
  domain_name: string;
  password_hash: string;
};

export type AccessKeyRow = { access_key: string; wrapped_secret_key: string; user_id: string };

export type TokenRow = {
  hash: string;
  user_id: string;
  project_id: string | null;
  issued_at: number;
  expires_at: number;
};

export type InstanceRow = {
  id: string;
  project_id: string;
  name: string;
  engine: string;
  status: string;
  failure_reason: string | null;
  /** JSON of the connection without its password. */
  connection: string | null;
  wrapped_password: string | null;
  server_version: string | null;
  system_identifier: string | null;
  /** JSON of `ManagedServer`. */
  managed: string | null;
  pool: string;
  created_at: number;
  updated_at: number;
};

export type BackupRow = {
  id: string;
  project_id: string;
  instance_id: string;
  instance_name: string;
  engine: string;
  server_version: string;
  name: string;
  description: string;
  type: string;
  /** JSON array of names. */
  databases: string;
  job_id: string;
  started_at: number;
  status: string;
  ended_at: number | null;
  failure_reason: string | null;
  file_count: number | null;
  logical_bytes: number | null;
  new_bytes: number | null;
  stored_bytes: number | null;
  start_position: string | null;
  stop_position: string | null;
};

/**
 * How many backups there are of each sort: kept by `backups.ts` in the transaction that changes
 * them.
 */
export type BackupCountRow = {
  project_id: string;
  instance_id: string;
  type: string;
  status: string;
  backup_count: number;
};

export type JobRow = {
  id: string;
  project_id: string;
  kind: string;
  pool: string;
  instance_id: string | null;
  instance_name: string;
  payload: string;
  status: string;
  attempt: number;
  attempts_max: number;
  cancel_requested: number;
  lease_owner: string | null;
  lease_expires_at: number | null;
  fence: number;
  progress: string | null;
  error: string | null;
  not_before: number;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
};

export type SettingRow = { key: string; value: string };

export type MigrationRow = { version: number; name: string; applied_at: number };

export type CatalogSchema = {
  projects: ProjectRow;
  users: UserRow;
  access_keys: AccessKeyRow;
  tokens: TokenRow;
  instances: InstanceRow;
  backups: BackupRow;
  backup_counts: BackupCountRow;
  jobs: JobRow;
  settings: SettingRow;
  catalog_migrations: MigrationRow;
};
