// Verifies AK/SK signatures, both grammars (docs: "Access=" with the secret key itself,
// "Credential=" with a key derived by date, region and service). Pure: no clock, no catalog.
//
// Clients differ in small things (is `~` escaped, is a path encoded once or twice, what is a `+`),
// so the few canonical requests that a known client could have meant are tried. Each covers method,
// path, query, signed headers and body in full: trying several gives a forger nothing.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../model/secret.ts';
import type { Unescaped } from './canonical-request.ts';
import {
  canonicalFirstValues,
  canonicalPath,
  canonicalQuery,
  formQuery,
  parseQuery,
} from './canonical-request.ts';

export const algorithm = 'SDK-HMAC-SHA256';
const unsignedPayload = 'UNSIGNED-PAYLOAD';

export type SignedRequest = {
  readonly method: string;
  /** Path and query exactly as received. */
  readonly target: string;
  /** The value of a header by its lower-case name, as received; null when it did not come. */
  readonly header: (name: string) => string | null;
  /** The raw bytes as received, for GET too. */
  readonly body: Uint8Array;
};

type SignedBy = {
  readonly accessKey: string;
  /** In the order received: the signature was made over that order. */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
};
export type Authorization =
  | (SignedBy & { readonly form: 'access' })
  | (SignedBy & {
      readonly form: 'credential';
      readonly date: string;
      readonly region: string;
      readonly service: string;
    });

/** Null when the header is none of the two grammars. */
export function parseAuthorization(text: string): Authorization | null {
  const fields = new Map<string, string>();
  if (!text.startsWith(`${algorithm} `)) return null;
  for (const part of text.slice(algorithm.length + 1).split(',')) {
    const match = /^\s*([A-Za-z]+)=(\S*)\s*$/.exec(part);
    if (!match?.[1] || fields.has(match[1])) return null;
    fields.set(match[1], match[2] ?? '');
  }
  const signature = fields.get('Signature')?.toLowerCase() ?? '';
  const names = fields.get('SignedHeaders')?.toLowerCase() ?? '';
  if (!/^[0-9a-f]{64}$/.test(signature) || !/^[!-~]{1,4096}$/.test(names)) return null;
  const signedHeaders = names.split(';');
  const accessKey = fields.get('Access');
  if (accessKey) return { form: 'access', accessKey, signedHeaders, signature };
  const scope = /^([^/]+)\/(\d{8})\/([^/]*)\/([^/]*)\/sdk_request$/.exec(
    fields.get('Credential') ?? '',
  );
  const [, key, date, region, service] = scope ?? [];
  if (!key || !date || region === undefined || service === undefined) return null;
  return { form: 'credential', accessKey: key, date, region, service, signedHeaders, signature };
}

/** `YYYYMMDDTHHMMSSZ`; null when the header is missing, not signed, or no date. */
export function signatureDate(
  request: SignedRequest,
  { signedHeaders }: Authorization,
): Date | null {
  const text = request.header('x-sdk-date') ?? '';
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match || !signedHeaders.includes('x-sdk-date')) return null;
  const [, year, month, day, hour, minute, second] = match;
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(at.getTime()) ? null : at;
}

export function isSignatureValid(
  request: SignedRequest,
  authorization: Authorization,
  secretKey: Secret,
): boolean {
  const payload = declaredPayload(request);
  const dateTime = request.header('x-sdk-date') ?? '';
  if (payload === null) return false;
  if (authorization.form === 'credential' && !dateTime.startsWith(authorization.date)) return false;
  const key = signingKey(authorization, secretKey);
  const head = [algorithm, dateTime];
  if (authorization.form === 'credential') {
    const { date, region, service } = authorization;
    head.push(`${date}/${region}/${service}/sdk_request`);
  }
  const given = Buffer.from(authorization.signature, 'hex');
  for (const canonical of new Set(listCanonical(request, authorization, payload))) {
    const text = [...head, sha256(canonical)].join('\n');
    if (timingSafeEqual(createHmac('sha256', key).update(text).digest(), given)) return true;
  }
  return false;
}

/**
 * What stands for the body in the signature; null when the declared hash is not that of the body.
 */
function declaredPayload({ header, body }: SignedRequest): string | null {
  const actual = sha256(body);
  const declared = header('x-sdk-content-sha256');
  if (declared === null) return actual;
  return declared === unsignedPayload || declared.toLowerCase() === actual ? declared : null;
}

function signingKey(authorization: Authorization, secretKey: Secret): Buffer {
  if (authorization.form === 'access') return Buffer.from(secretKey.reveal());
  const { date, region, service } = authorization;
  return [date, region, service, 'sdk_request'].reduce(
    (key, text) => createHmac('sha256', key).update(text).digest(),
    Buffer.from(`SDK${secretKey.reveal()}`),
  );
}

function listCanonical(
  request: SignedRequest,
  authorization: Authorization,
  payload: string,
): string[] {
  const { path, query } = splitTarget(request.target);
  const tail = [
    canonicalHeaders(request, authorization),
    authorization.signedHeaders.join(';'),
  ] as const;
  const method = request.method.toUpperCase();
  const build = (uri: string, queryText: string, hash: string): string =>
    [method, uri, queryText, ...tail, hash].join('\n');
  const forms =
    authorization.form === 'access'
      ? listAccessForms(path, query)
      : listCredentialForms(path, query);
  const found = forms.map(({ uri, queryText }) => build(uri, queryText, payload));
  const bare = authorization.form === 'credential' && method === 'POST' && query !== '';
  if (!bare || request.body.length > 0) return found;
  // The older grammar: a POST without a body has its query as the payload.
  const payloads = [query, ...queryReadings(query).map(formQuery)];
  const uris = new Set(forms.map(({ uri }) => uri));
  for (const uri of uris) found.push(...payloads.map((text) => build(uri, '', sha256(text))));
  return found;
}

type CanonicalForm = { readonly uri: string; readonly queryText: string };

function listAccessForms(path: string, query: string): CanonicalForm[] {
  return [true, false].flatMap((decode) => {
    const uri = canonicalPath(path, { decode, unescaped: '~' });
    return queryReadings(query).map((pairs) => ({ uri, queryText: canonicalQuery(pairs) }));
  });
}

function listCredentialForms(path: string, query: string): CanonicalForm[] {
  const sets: readonly Unescaped[] = ['~', '*', '~*', ''];
  return sets.flatMap((unescaped) => {
    const uri = canonicalPath(path, { decode: true, unescaped });
    return queryReadings(query).map((pairs) => ({
      uri,
      queryText: canonicalFirstValues(pairs, unescaped),
    }));
  });
}

/** A raw `+` is a blank to most clients, and itself to those that write it without encoding. */
function queryReadings(query: string): ReturnType<typeof parseQuery>[] {
  const blank = parseQuery(query, 'blank');
  return query.includes('+') ? [blank, parseQuery(query, 'plus')] : [blank];
}

function canonicalHeaders(request: SignedRequest, authorization: Authorization): string {
  let block = '';
  for (const name of authorization.signedHeaders) {
    const value = (request.header(name) ?? '').trim();
    const text = authorization.form === 'credential' ? value.replace(/\s+/g, ' ') : value;
    block += `${name}:${text}\n`;
  }
  return block;
}

function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const at = target.indexOf('?');
  return at < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, at), query: target.slice(at + 1) };
}

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
