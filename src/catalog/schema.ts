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
  created_at: number;
};

export type AccessKeyRow = {
  access_key: string;
  wrapped_secret_key: string;
  user_id: string;
  created_at: number;
};

/** An empty project stands for every project of the user's domain. */
export type GrantRow = { user_id: string; project_id: string; role: string };

/** Failures in a row; a success removes the row. */
export type LoginFailureRow = { login: string; failure_count: number; last_failed_at: number };

/** What a request with that token was answered with. */
export type ClientTokenRow = {
  project_id: string;
  token: string;
  request_hash: string;
  instance_id: string;
  job_id: string;
  created_at: number;
};

export type PolicyRow = {
  instance_id: string;
  project_id: string;
  /** 0: no automated backups. */
  keep_days: number;
  start_minute: number;
  /** Ascending digits, 1 = Monday: `135`. */
  weekdays: string;
  /** Windows that opened before are nobody's. */
  effective_at: number;
  /** The opening of the last window that a backup was asked for. */
  last_window_at: number | null;
  last_backup_id: string | null;
  attempt_count: number;
  /** JSON of the off-site policy. */
  offsite: string | null;
  log_interval_minutes: number;
};

export type TagRow = { instance_id: string; key: string; value: string; project_id: string };

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
  /** Of an incremental backup: the stream that it is a stretch of. */
  log_stream_id: string | null;
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
  /** JSON of what the job has found. */
  result: string | null;
};

/** An object that nothing needs, and since when that is known. */
export type PruneCandidateRow = {
  instance_id: string;
  object_name: string;
  first_seen_at: number;
};

/** When the scheduler last asked for a prune of an instance. */
export type PruneTurnRow = { instance_id: string; asked_at: number };

/** A gap-free run of a server's log. */
export type LogStreamRow = {
  id: string;
  project_id: string;
  instance_id: string;
  engine: string;
  system_identifier: string;
  start_position: string;
  began_at: number;
  /** What lies before has gone by retention. */
  kept_from: string;
  status: string;
  end_cause: string | null;
  end_reason: string | null;
  ended_at: number | null;
  stored_position: string | null;
  covered_until: number | null;
  /** The last closed interval, and where it ends. */
  interval_sequence: number | null;
  interval_position: string | null;
  interval_at: number | null;
  behind_bytes: number | null;
  /** JSON of what threatens the stream. */
  warning: string | null;
  /** JSON of why nothing arrives, and since when. */
  trouble: string | null;
  updated_at: number;
};

export type SettingRow = { key: string; value: string };

export type MigrationRow = { version: number; name: string; applied_at: number };

export type CatalogSchema = {
  projects: ProjectRow;
  users: UserRow;
  access_keys: AccessKeyRow;
  tokens: TokenRow;
  grants: GrantRow;
  login_failures: LoginFailureRow;
  client_tokens: ClientTokenRow;
  policies: PolicyRow;
  tags: TagRow;
  instances: InstanceRow;
  backups: BackupRow;
  backup_counts: BackupCountRow;
  jobs: JobRow;
  prune_candidates: PruneCandidateRow;
  prune_turns: PruneTurnRow;
  log_streams: LogStreamRow;
  settings: SettingRow;
  catalog_migrations: MigrationRow;
};
