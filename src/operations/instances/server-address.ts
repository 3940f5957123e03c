import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Connection, HostAddress } from '../../model/instance.ts';
import { standbysMax } from '../../model/instance.ts';
import type { EngineDrivers } from '../parts.ts';
import { driverFor } from '../parts.ts';

/** How a caller names a database server: a connection string, or its parts. */
export type ServerAddress =
  | {
      readonly kind: 'url';
      readonly url: string;
      /** Besides those that the URL names. */
      readonly standbys?: readonly HostAddress[];
    }
  | { readonly kind: 'connection'; readonly engine: Engine; readonly connection: Connection };

export type Server = { readonly engine: Engine; readonly connection: Connection };

const enginesByScheme: Readonly<Record<string, Engine>> = {
  postgres: 'postgresql',
  postgresql: 'postgresql',
  mysql: 'mysql',
  mariadb: 'mysql',
  sqlserver: 'sqlserver',
  mssql: 'sqlserver',
};

/** @throws invalid; the URL holds a password, so no message repeats it */
export function resolveServer(address: ServerAddress, engines: EngineDrivers): Server {
  if (address.kind === 'connection') {
    assertOffered(engines, address.engine);
    return toServer(engines, address.engine, withOptions(engines, address));
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(address.url)?.[1]?.toLowerCase() ?? '';
  const engine = Object.hasOwn(enginesByScheme, scheme) ? enginesByScheme[scheme] : undefined;
  if (!engine) {
    throw new CairnError('invalid', 'the connection string does not begin with a known scheme', {
      hint: 'write postgres://user:password@host:5432/database, or mysql://…, or sqlserver://…',
    });
  }
  assertOffered(engines, engine);
  const connection = driverFor(engines, engine).parseUrl(address.url);
  const standbys = [...connection.standbys, ...(address.standbys ?? [])];
  return toServer(engines, engine, { ...connection, standbys });
}

/**
 * Options of the engine, read by the driver as those of a connection string: one list of names, one
 * set of rules. @throws invalid
 */
function withOptions(
  engines: EngineDrivers,
  { engine, connection }: Extract<ServerAddress, { readonly kind: 'connection' }>,
): Connection {
  const { options: given = {}, ...bare } = connection;
  if (Object.keys(given).length === 0) return bare;
  const pairs = Object.entries(given).map((pair) => pair.map(encodeURIComponent).join('='));
  const { options = {} } = driverFor(engines, engine).parseUrl(
    `${engine}://user@host/?${pairs.join('&')}`,
  );
  const other = Object.keys(given).find((name) => options[name] === undefined);
  if (other === undefined) return { ...bare, options };
  throw new CairnError('invalid', `${other} is no option of engine ${engine}`, {
    hint: 'host, user, sslmode and the like have fields of their own',
  });
}

/** @throws invalid */
function toServer(engines: EngineDrivers, engine: Engine, connection: Connection): Server {
  const names = [connection, ...connection.standbys].map(({ host, port }) => `${host}:${port}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice) throw new CairnError('invalid', `the connection names ${twice} twice`);
  if (connection.standbys.length > 0 && !driverFor(engines, engine).capabilities.standbys) {
    throw new CairnError('invalid', `an instance of engine ${engine} is one server`, {
      hint: 'name the primary alone; replicas are instances of their own',
    });
  }
  if (connection.standbys.length <= standbysMax) return { engine, connection };
  throw new CairnError('invalid', `the connection names ${names.length} hosts`, {
    hint: `name a primary and up to ${standbysMax} standbys`,
  });
}

/** No server has refused anything: the caller asked for what there is not. @throws invalid */
function assertOffered(engines: EngineDrivers, engine: Engine): void {
  if (engines[engine]) return;
  throw new CairnError('invalid', `engine ${engine} is not offered by this version`, {
    reason: 'database-type-invalid',
    hint: `it backs up ${Object.keys(engines).join(', ')}`,
  });
}
