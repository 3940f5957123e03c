// The canonical texts that RDS clients sign. Everything is done on bytes: a path or query that is
// not UTF-8 still has exactly one canonical form, and UTF-8 byte order is code-point order, which
// is how names are sorted.

/** Which bytes a client leaves as they are besides letters, digits and `-._`. */
export type Unescaped = '' | '~' | '*' | '~*';

export type QueryPair = { readonly name: Buffer; readonly value: Buffer };

const percent = 0x25;
const plus = 0x2b;
const blank = 0x20;

/**
 * `%41` → `A`; an incomplete escape stays as it is. `+` becomes a blank only where forms are
 * encoded so.
 */
export function percentDecode(text: string, plusIs: 'plus' | 'blank'): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const decoded = Buffer.alloc(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    const digits = byte === percent ? bytes.toString('latin1', at + 1, at + 3) : '';
    if (/^[0-9A-Fa-f]{2}$/.test(digits)) {
      decoded[length++] = Number.parseInt(digits, 16);
      at += 2;
    } else {
      decoded[length++] = byte === plus && plusIs === 'blank' ? blank : byte;
    }
  }
  return decoded.subarray(0, length);
}

export function percentEncode(bytes: Buffer, unescaped: Unescaped): string {
  let text = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    const stays = /[A-Za-z0-9._-]/.test(character) || unescaped.includes(character);
    text += stays ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

/** Every segment encoded anew, with the final `/` that exists in signatures only. */
export function canonicalPath(
  rawPath: string,
  { decode, unescaped }: { readonly decode: boolean; readonly unescaped: Unescaped },
): string {
  const segments = rawPath.split('/').map((segment) => {
    const bytes = decode ? percentDecode(segment, 'plus') : Buffer.from(segment, 'latin1');
    return percentEncode(bytes, unescaped);
  });
  const path = segments.join('/');
  return path.endsWith('/') ? path : `${path}/`;
}

export function parseQuery(rawQuery: string, plusIs: 'plus' | 'blank'): QueryPair[] {
  if (rawQuery === '') return [];
  return rawQuery
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const at = part.indexOf('=');
      const name = at < 0 ? part : part.slice(0, at);
      const value = at < 0 ? '' : part.slice(at + 1);
      return { name: percentDecode(name, plusIs), value: percentDecode(value, plusIs) };
    });
}

/** Sorted by name, equal names by value; a name without a value keeps its `=`. */
export function canonicalQuery(pairs: readonly QueryPair[]): string {
  return [...pairs]
    .sort((a, b) => Buffer.compare(a.name, b.name) || Buffer.compare(a.value, b.value))
    .map(({ name, value }) => `${percentEncode(name, '~')}=${percentEncode(value, '~')}`)
    .join('&');
}

/** The older rule: the first value of each name, sorted without regard to case. */
export function canonicalFirstValues(pairs: readonly QueryPair[], unescaped: Unescaped): string {
  const firsts = new Map<string, string>();
  for (const { name, value } of pairs) {
    const key = percentEncode(name, unescaped);
    if (!firsts.has(key)) firsts.set(key, percentEncode(value, unescaped));
  }
  return [...firsts]
    .map(([name, value]) => ({ folded: name.toLowerCase(), text: `${name}=${value}` }))
    .sort((a, b) => (a.folded < b.folded ? -1 : a.folded > b.folded ? 1 : 0))
    .map(({ text }) => text)
    .join('&');
}

/**
 * How Go prints a query (`url.Values.Encode`): sorted by name, values in their order, blanks as
 * `+`.
 */
export function formQuery(pairs: readonly QueryPair[]): string {
  const encode = (bytes: Buffer): string => percentEncode(bytes, '~').replaceAll('%20', '+');
  return [...pairs]
    .sort((a, b) => Buffer.compare(a.name, b.name))
    .map(({ name, value }) => `${encode(name)}=${encode(value)}`)
    .join('&');
}
