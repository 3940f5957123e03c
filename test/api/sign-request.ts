// Signs requests as the clients do, written from their documents and not from our verifier.
import { createHash, createHmac } from 'node:crypto';

export type Unsigned = {
  readonly method: string;
  readonly path: string;
  /** Decoded names and values, in the order they are sent. */
  readonly query?: readonly (readonly [string, string])[];
  /** In the order that SignedHeaders lists them; must hold x-sdk-date. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: string | Uint8Array;
};

export type Keys = { readonly accessKey: string; readonly secretKey: string };

/** RFC 3986: unreserved characters stay, the rest is escaped with upper-case digits. */
export function escape3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Path and query as they go over the wire. */
export function targetOf({ path, query = [] }: Unsigned): string {
  const text = query.map(([name, value]) => `${escape3986(name)}=${escape3986(value)}`).join('&');
  return text === '' ? escapedPath(path) : `${escapedPath(path)}?${text}`;
}

/** The grammar of today's SDKs: `Access=`, the secret key itself. */
export function signAccess(request: Unsigned, { accessKey, secretKey }: Keys): string {
  const query = [...(request.query ?? [])]
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${escape3986(name)}=${escape3986(value)}`)
    .join('&');
  const names = request.headers.map(([name]) => name.toLowerCase()).join(';');
  const canonical = [
    request.method,
    withSlash(escapedPath(request.path)),
    query,
    request.headers.map(([name, value]) => `${name.toLowerCase()}:${value.trim()}\n`).join(''),
    names,
    payloadOf(request),
  ].join('\n');
  const text = `SDK-HMAC-SHA256\n${dateOf(request)}\n${sha256(canonical)}`;
  const signature = hmac(secretKey, text).toString('hex');
  return `SDK-HMAC-SHA256 Access=${accessKey}, SignedHeaders=${names}, Signature=${signature}`;
}

/** The older grammar: `Credential=`, a derived key, region and service usually empty. */
export function signCredential(
  request: Unsigned,
  { accessKey, secretKey }: Keys,
  options: { readonly region?: string; readonly service?: string } = {},
): string {
  const { region = '', service = '' } = options;
  const firsts = new Map<string, string>();
  for (const [name, value] of request.query ?? []) {
    if (!firsts.has(name)) firsts.set(name, value);
  }
  const query = [...firsts]
    .map(([name, value]) => [escape3986(name), escape3986(value)] as const)
    .sort(([a], [b]) => compare(a.toLowerCase(), b.toLowerCase()))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const isBarePost = request.method === 'POST' && request.body === undefined;
  const names = request.headers.map(([name]) => name.toLowerCase()).join(';');
  const canonical = [
    request.method,
    withSlash(escapedPath(request.path)),
    isBarePost ? '' : query,
    request.headers
      .map(([name, value]) => `${name.toLowerCase()}:${value.replace(/\s+/g, ' ')}\n`)
      .join(''),
    names,
    isBarePost ? sha256(goQuery(request)) : payloadOf(request),
  ].join('\n');
  const date = dateOf(request);
  const scope = `${date.slice(0, 8)}/${region}/${service}/sdk_request`;
  const text = `SDK-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  let key: string | Buffer = `SDK${secretKey}`;
  for (const part of [date.slice(0, 8), region, service, 'sdk_request']) key = hmac(key, part);
  const signature = hmac(key, text).toString('hex');
  const credential = `${accessKey}/${scope}`;
  return `SDK-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
}

export function sdkDate(at: Date): string {
  return at.toISOString().replace(/[-:]|\.\d{3}/g, '');
}

export function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** As Go's `url.Values.Encode`. */
function goQuery({ query = [] }: Unsigned): string {
  const encode = (text: string): string => escape3986(text).replaceAll('%20', '+');
  return [...query]
    .sort(([a], [b]) => compare(a, b))
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
}

function payloadOf(request: Unsigned): string {
  return headerOf(request, 'x-sdk-content-sha256') ?? sha256(request.body ?? '');
}

function dateOf(request: Unsigned): string {
  return headerOf(request, 'x-sdk-date') ?? '';
}

function headerOf({ headers }: Unsigned, wanted: string): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
}

function escapedPath(path: string): string {
  return path.split('/').map(escape3986).join('/');
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** By code point, which UTF-16 order is not. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
