// Which server it is, and of which flavor.
import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';
import type { Flavor, FlavoredVersion } from './flavor.ts';
import { parseServerVersion } from './flavor.ts';

/** @throws engine-refused for a version that makes no sense */
export async function readFlavor(query: Query): Promise<FlavoredVersion> {
  const [row] = await query('select version() as version');
  const text = String(row?.['version']);
  const version = parseServerVersion(text);
  if (version) return version;
  throw new CairnError('engine-refused', `the server’s version “${text}” is not known`);
}

/**
 * What the server is told apart by: a UUID of its own, or where MariaDB has none, domain and server
 * number that begin the GTIDs that it gives. (`server_uid` is no such thing: it is made of the port
 * and a network card, and becomes another one in the next container.)
 */
export async function readSystemIdentifier(query: Query, flavor: Flavor): Promise<string> {
  const statements: Readonly<Record<Flavor, string>> = {
    mariadb: "select concat(@@global.gtid_domain_id, '-', @@global.server_id) as id",
    mysql: 'select @@global.server_uuid as id',
  };
  const [row] = await query(statements[flavor]);
  return String(row?.['id']);
}
