// What a restore must know of the server that a physical backup came from: kept in the backup's
// manifest as JSON. Never a key or a password.
import { CairnError } from '../../model/errors.ts';
import type { EngineNotes } from '../engine.ts';
import type { Query } from './connection.ts';
import type { Flavor } from './flavor.ts';

export type PhysicalNotes = {
  readonly version: 1;
  readonly kind: 'physical';
  readonly flavor: Flavor;
  readonly pageSizeBytes: number;
  /** Without one, no moment after the backup can be reached. */
  readonly hasBinaryLog: boolean;
  /** What is needed to read the data besides the backup; null: nothing is encrypted. */
  readonly encryptionPlugin: string | null;
  /** Of the program that took it; preparing it needs one of the same release series. */
  readonly toolVersion: string | null;
  /** Of InnoDB: its last checkpoint when the backup began, and the end of its log. */
  readonly log: { readonly toLsn: string; readonly lastLsn: string };
  /** Settings that a server needs to start on the files, as the server gives them. */
  readonly settings: Readonly<Record<string, string>>;
};

/** What neither the files nor `backup-my.cnf` say, and what of the latter must not get lost. */
const startSettings = [
  'innodb_page_size',
  'innodb_data_file_path',
  'innodb_undo_tablespaces',
  'innodb_log_file_size',
  'innodb_file_per_table',
  'lower_case_table_names',
  'character_set_server',
  'collation_server',
  'max_allowed_packet',
  'aria_log_file_size',
  // By which statements of the old server, and its full-text indexes, mean the same.
  'sql_mode',
  'explicit_defaults_for_timestamp',
  'innodb_strict_mode',
  'default_storage_engine',
  'innodb_default_row_format',
  'ft_min_word_len',
  'ft_max_word_len',
  'innodb_ft_min_token_size',
  'innodb_ft_max_token_size',
  'innodb_buffer_pool_size',
  'max_connections',
] as const;

export type StartSettings = PhysicalNotes['settings'] & { readonly innodb_page_size: string };

/** Those of them that the server has. @throws engine-refused */
export async function readStartSettings(query: Query): Promise<StartSettings> {
  const names = startSettings.map((name) => `'${name}'`).join(', ');
  const rows = await query(`show global variables where variable_name in (${names})`);
  const found = rows.map((row) => [String(row['Variable_name']), String(row['Value'])] as const);
  const { innodb_page_size = '', ...settings } = Object.fromEntries(found);
  if (/^\d+$/.test(innodb_page_size)) return { ...withKnownEngine(settings), innodb_page_size };
  throw new CairnError('engine-refused', 'the server did not tell the page size of InnoDB', {
    hint: 'a physical backup needs InnoDB to be on',
  });
}

/** With one that is not built in, a server without the plugin would not start. */
export function withKnownEngine(settings: PhysicalNotes['settings']): PhysicalNotes['settings'] {
  const { default_storage_engine: engine, ...others } = settings;
  return engine !== undefined && /^(InnoDB|Aria|MyISAM)$/i.test(engine) ? settings : others;
}

/** The name of the plugin that holds the keys. */
export async function readEncryptionPlugin(query: Query): Promise<string | null> {
  const rows = await query(
    `select plugin_name as name from information_schema.plugins
     where plugin_status = 'ACTIVE' and (plugin_type = 'ENCRYPTION' or plugin_name like 'keyring%')
     order by plugin_name limit 1`,
  );
  return rows[0] ? String(rows[0]['name']) : null;
}

export function toEngineNotes(notes: PhysicalNotes): EngineNotes {
  return { ...notes };
}
