// What a role must be granted so that a base backup can be read over ordinary connections
// (PostgreSQL documentation, chapter "System Administration Functions": these are revoked from
// everybody at first). Membership in `pg_read_server_files` is not needed: paths are relative to
// the data folder.
import type { Finding } from '../engine.ts';
import type { Query } from './connection.ts';
import type { ServerSettings } from './server-settings.ts';

const neededFunctions = [
  'pg_backup_start(text, boolean)',
  'pg_backup_stop(boolean)',
  'pg_ls_dir(text, boolean, boolean)',
  'pg_stat_file(text, boolean)',
  'pg_read_binary_file(text, bigint, bigint, boolean)',
  'pg_control_system()',
  'pg_walfile_name(pg_lsn)',
] as const;
/** Every role may execute it; it refuses those without REPLICATION. */
const slotFunction = 'pg_create_physical_replication_slot(name, boolean, boolean)';

export type PageRights = {
  /** Functions that the role may not use. */
  readonly missing: readonly string[];
  /** SQL that a superuser runs in the database that backups connect to; empty when all is well. */
  readonly grants: readonly string[];
};

/** The functions have these arguments since PostgreSQL 15. */
export async function readPageRights(query: Query): Promise<PageRights> {
  const rows = await query(
    `select name, quote_ident(current_user) as role from unnest($1::text[]) as name
     where not coalesce(
       has_function_privilege(to_regprocedure('pg_catalog.' || name), 'execute'), false)`,
    [neededFunctions],
  );
  const [slots] = await query(
    `select quote_ident(rolname) as role from pg_roles
     where rolname = current_user and not (rolsuper or rolreplication)`,
  );
  const missing = rows.map((row) => String(row.name));
  const grants = rows.map(
    (row) => `grant execute on function pg_catalog.${row.name} to ${String(row.role)}`,
  );
  if (!slots) return { missing, grants };
  return {
    missing: [...missing, slotFunction],
    grants: [...grants, `alter role ${String(slots.role)} replication`],
  };
}

/** Backups work either way; this says whether they can be quicker. */
export function checkPageRights(rights: PageRights, settings: ServerSettings): Finding {
  const check = 'parallel-reads';
  if (settings.isInRecovery) {
    const message = 'backups of a standby read everything, over one connection';
    return { check, severity: 'fine', message, hint: null };
  }
  if (rights.missing.length === 0) {
    const message = 'backups read changed files only, over several connections';
    return { check, severity: 'fine', message, hint: null };
  }
  const database = 'in the database that the connection string names';
  return {
    check,
    severity: 'fine',
    message: 'backups read every file, over one connection',
    hint: `to read changed files only, over several, run ${database}: ${rights.grants.join('; ')}`,
  };
}
