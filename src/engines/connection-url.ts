// Connection URLs as libpq writes them (PostgreSQL documentation, chapter "libpq", "Connection
// URIs"), for every engine:
// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path/ca.pem`. A
// socket folder is given percent-encoded in the host's place or as `?host=/folder`. Several hosts,
// `a:5432,b:5433` or `?host=a,b&port=5432,5433`, are a primary and its standbys in any order. There
// must be a user. No text of an error repeats the URL: it holds a password.
import { readFileSync } from 'node:fs';
import { CairnError } from '../model/errors.ts';
import type { Connection, HostAddress, TlsMode } from '../model/instance.ts';
import { standbysMax, tlsModes } from '../model/instance.ts';
import { Secret } from '../model/secret.ts';

export type UrlDialect = {
  /** A pattern of what stands before `://`. */
  readonly scheme: string;
  /** `the form is …` */
  readonly shape: string;
  /** What the URL should have been: `a postgres:// URL`. */
  readonly kind: string;
  readonly defaultPort: number;
  readonly defaultDatabase: string;
  /** Other names of parameters, and those that they stand for. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Other words for the modes of TLS. */
  readonly tlsWords?: Readonly<Record<string, string>>;
  /** Accepted and without effect: Cairn has its own values, or they do not concern a backup. */
  readonly ignored: readonly string[];
};

const login = '(?:([^@/?#]*)@)?';
const hosts = '([^/?#@]*)';
const rest = '(?:/([^?#]*))?(?:\\?([^#]*))?';
const hostPattern = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/;
const understood = ['host', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert'];
const certificateBytesMax = 1024 * 1024;

/** @throws invalid */
export function parseUrl(text: string, dialect: UrlDialect): Connection {
  const { scheme, shape, kind } = dialect;
  const match = new RegExp(`^${scheme}://${login}${hosts}${rest}$`, 'i').exec(text.trim());
  if (!match) {
    throw new CairnError('invalid', `the connection string is not ${kind}`, {
      hint: `${shape}; write @ : / ? # % in a password as %40 %3A %2F %3F %23 %25`,
    });
  }
  const [, loginText = '', hostsText = '', path = '', queryText = ''] = match;
  const query = parseQuery(queryText, dialect);
  const colon = loginText.indexOf(':');
  const user =
    query.get('user') ?? decodePart(colon < 0 ? loginText : loginText.slice(0, colon), 'user');
  const password =
    query.get('password') ?? (colon < 0 ? '' : decodePart(loginText.slice(colon + 1), 'password'));
  if (user === '') {
    throw new CairnError('invalid', 'the connection string names no user', { hint: shape });
  }
  const [first, ...standbys] = parseHosts(hostsText, query, dialect.defaultPort);
  return {
    ...first,
    standbys,
    database: query.get('dbname') || decodePart(path, 'database') || dialect.defaultDatabase,
    user,
    password: password === '' ? null : new Secret(password),
    tls: parseTlsMode(query.get('sslmode') ?? 'prefer', dialect.tlsWords ?? {}),
    tlsCaPem: readCertificate(query.get('sslrootcert')),
  };
}

function parseQuery(text: string, { aliases, ignored }: UrlDialect): Map<string, string> {
  const values = new Map<string, string>();
  for (const pair of text === '' ? [] : text.split('&')) {
    const equals = pair.indexOf('=');
    const typed = decodePart(equals < 0 ? pair : pair.slice(0, equals), 'parameter name');
    const name = aliases[typed] ?? typed;
    if (ignored.includes(name)) continue;
    if (!understood.includes(name)) {
      throw new CairnError('invalid', `connection parameter ${name} is not supported`, {
        hint: `supported are ${[...understood, ...Object.keys(aliases)].join(', ')}`,
      });
    }
    values.set(name, decodePart(equals < 0 ? '' : pair.slice(equals + 1), name));
  }
  return values;
}

/** @throws invalid, naming the part and not showing it */
export function decodePart(text: string, name: string): string {
  try {
    const decoded = decodeURIComponent(text);
    if (!decoded.includes('\0')) return decoded;
  } catch {
    // A malformed escape is refused below, like a zero byte.
  }
  throw new CairnError('invalid', `the ${name} in the connection string is badly percent-encoded`, {
    hint: 'write a % itself as %25',
  });
}

/** What the query says takes the place of what stands before the path. */
function parseHosts(
  text: string,
  query: ReadonlyMap<string, string>,
  defaultPort: number,
): readonly [HostAddress, ...HostAddress[]] {
  const parts = text.split(',').map((part) => {
    const match = hostPattern.exec(part);
    if (!match) throw new CairnError('invalid', 'a host in the connection string is malformed');
    return { host: decodePart(match[1] ?? '', 'host'), port: match[2] ?? '' };
  });
  const names = query.get('host')?.split(',') ?? parts.map(({ host }) => host);
  const ports = query.get('port')?.split(',') ?? parts.map(({ port }) => port);
  if (ports.length !== 1 && ports.length !== names.length) {
    const text = `the connection string names ${names.length} hosts and ${ports.length} ports`;
    throw new CairnError('invalid', text, { hint: 'give each host its port, or one for all' });
  }
  const [first, ...others] = names.map((host, index) => ({
    host: parseHost(host),
    port: parsePort((ports.length === 1 ? ports[0] : ports[index]) ?? '', defaultPort),
  }));
  if (first && others.length <= standbysMax) return [first, ...others];
  throw new CairnError('invalid', `the connection string names ${names.length} hosts`, {
    hint: `name a primary and up to ${standbysMax} standbys`,
  });
}

function parseHost(host: string): string {
  const address = host.startsWith('[') ? host.slice(1, -1) : host;
  return address === '' ? 'localhost' : address;
}

function parsePort(text: string, defaultPort: number): number {
  if (text === '') return defaultPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw new CairnError('invalid', `port ${JSON.stringify(text)} is not between 1 and 65535`);
  }
  return port;
}

function parseTlsMode(text: string, others: Readonly<Record<string, string>>): TlsMode {
  const mode = tlsModes.find((known) => known === (others[text] ?? text));
  if (mode) return mode;
  throw new CairnError('invalid', `sslmode ${text} is not supported`, {
    hint: `supported are ${tlsModes.join(', ')}`,
  });
}

function readCertificate(path: string | undefined): string | null {
  if (path === undefined || path === '' || path === 'system') return null;
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CairnError('invalid', `sslrootcert ${path} cannot be read`, { cause });
  }
  if (!pem.includes('-----BEGIN CERTIFICATE-----') || pem.length > certificateBytesMax) {
    throw new CairnError('invalid', `sslrootcert ${path} is not a PEM certificate`);
  }
  return pem;
}
