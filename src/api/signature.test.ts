import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Keys, Unsigned } from '../../test/api/sign-request.ts';
import { sha256, signAccess, signCredential, targetOf } from '../../test/api/sign-request.ts';
import { Secret } from '../model/secret.ts';
import { percentDecode, percentEncode } from './canonical-request.ts';
import type { SignedRequest } from './signature.ts';
import { isSignatureValid, parseAuthorization, signatureDate } from './signature.ts';

const keys: Keys = { accessKey: 'AKTEST', secretKey: 'MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc' };
const date = '20191115T033655Z';

function received(request: Unsigned, target = targetOf(request)): SignedRequest {
  return {
    method: request.method,
    target,
    header: (name) => request.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? null,
    body: Buffer.from(request.body ?? ''),
  };
}

function isValid(request: SignedRequest, header: string, secretKey = keys.secretKey): boolean {
  const authorization = parseAuthorization(header);
  assert.ok(authorization, header);
  return isSignatureValid(request, authorization, new Secret(secretKey));
}

const published: Unsigned = {
  method: 'GET',
  path: '/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs',
  query: [
    ['limit', '2'],
    ['marker', '13551d6b-755d-4757-b956-536f674975c0'],
  ],
  headers: [
    ['content-type', 'application/json'],
    ['host', 'service.region.example.com'],
    ['x-sdk-date', date],
  ],
};

describe('a published signature', () => {
  const signature = '7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe';
  const signed = 'SignedHeaders=content-type;host;x-sdk-date';
  const header = `SDK-HMAC-SHA256 Access=${keys.accessKey}, ${signed}, Signature=${signature}`;

  test('is valid', () => {
    assert.equal(isValid(received(published), header), true);
  });
  test('is valid with the query in another order', () => {
    const target = targetOf({ ...published, query: [...(published.query ?? [])].reverse() });
    assert.equal(isValid(received(published, target), header), true);
  });
  test('is not valid for another key, method, path, query, header or body', () => {
    assert.equal(isValid(received(published), header, 'other'), false);
    const headers = published.headers.map(([name, value]) => [name, `${value}x`] as const);
    const changes: Partial<Unsigned>[] = [
      { method: 'DELETE' },
      { path: `${published.path}x` },
      { query: [] },
      { query: [...(published.query ?? []), ['limit', '3']] },
      { headers },
      { body: '{}' },
    ];
    for (const change of changes) {
      const changed = { ...published, ...change };
      assert.equal(isValid(received(changed), header), false, JSON.stringify(change));
    }
  });
  test('our test signer gives the same', () => {
    assert.match(signAccess(published, keys), new RegExp(`Signature=${signature}$`));
  });
});

describe('the Authorization header', () => {
  const tail = `SignedHeaders=x-sdk-date, Signature=${'0'.repeat(64)}`;
  test('both grammars are told apart', () => {
    assert.equal(parseAuthorization(`SDK-HMAC-SHA256 Access=A, ${tail}`)?.form, 'access');
    const scoped = parseAuthorization(
      `SDK-HMAC-SHA256 Credential=A/20191115///sdk_request, ${tail}`,
    );
    assert.equal(scoped?.form, 'credential');
    assert.equal(scoped?.accessKey, 'A');
  });
  test('everything else is refused', () => {
    for (const text of [
      '',
      'Bearer abc',
      `V11-HMAC-SHA256 Access=A, ${tail}`,
      `SDK-HMAC-SM3 Access=A, ${tail}`,
      `SDK-HMAC-SHA256 ${tail}`,
      `SDK-HMAC-SHA256 Access=, ${tail}`,
      `SDK-HMAC-SHA256 Access=A, Access=B, ${tail}`,
      `SDK-HMAC-SHA256 Credential=A/2019///sdk_request, ${tail}`,
      `SDK-HMAC-SHA256 Credential=A/20191115/sdk_request, ${tail}`,
      'SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=00',
      `SDK-HMAC-SHA256 Access=A, Signature=${'0'.repeat(64)}`,
    ]) {
      assert.equal(parseAuthorization(text), null, text);
    }
  });
  test('any text is parsed or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseAuthorization(`SDK-HMAC-SHA256 ${text}`);
      }),
    );
  });
});

describe('the date of a signature', () => {
  const authorization = parseAuthorization(signAccess(published, keys));
  assert.ok(authorization);
  test('is read', () => {
    const at = signatureDate(received(published), authorization);
    assert.equal(at?.toISOString(), '2019-11-15T03:36:55.000Z');
  });
  test('must be signed and well-formed', () => {
    const unsigned = { ...authorization, signedHeaders: ['host'] };
    assert.equal(signatureDate(received(published), unsigned), null);
    for (const text of ['', '20191115', '20191315T033655Z', '2019-11-15T03:36:55Z']) {
      const bad = { ...published, headers: [['x-sdk-date', text] as const] };
      assert.equal(signatureDate(received(bad), authorization), null, text);
    }
  });
});

const names = fc.stringMatching(/^x-[a-z0-9-]{1,12}$/).filter((name) => !name.startsWith('x-sdk'));
const headerValues = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
const texts = fc.string({ unit: 'binary', maxLength: 12 });
const segments = fc.string({ unit: 'binary', minLength: 1, maxLength: 10 });

/**
 * Requests that no client would write by hand: odd characters, repeated names, empty values, any
 * order.
 */
const requests: fc.Arbitrary<Unsigned> = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
    path: fc
      .array(segments, { maxLength: 4 })
      .map((parts) => `/${parts.map((part) => part.replaceAll('/', '')).join('/')}`),
    query: fc.array(fc.tuple(fc.oneof(texts, fc.constantFrom('a', 'A', 'b')), texts), {
      maxLength: 6,
    }),
    extra: fc.uniqueArray(fc.tuple(names, headerValues), {
      maxLength: 5,
      selector: ([name]) => name,
    }),
    body: fc.option(fc.uint8Array({ minLength: 1, maxLength: 64 }), { nil: undefined }),
    seed: fc.nat(),
  })
  .map(({ extra, body, seed, ...rest }) => {
    const headers = [...extra, ['host', 'h:8080'] as const, ['x-sdk-date', date] as const];
    // Not sorted on purpose: the order received is the order signed.
    const at = seed % headers.length;
    return {
      ...rest,
      query: rest.query.filter(([name, value]) => name !== '' || value !== ''),
      headers: [...headers.slice(at), ...headers.slice(0, at)],
      ...(body === undefined ? {} : { body }),
    };
  });

describe('a signature that a client made', () => {
  for (const [form, sign] of Object.entries({ access: signAccess, credential: signCredential })) {
    test(`is valid, ${form}`, () => {
      fc.assert(
        fc.property(requests, (request) => {
          // Names that differ only in case have no defined order in the older grammar.
          const folded = new Set((request.query ?? []).map(([name]) => name.toLowerCase()));
          const distinct = new Set((request.query ?? []).map(([name]) => name));
          fc.pre(form === 'access' || folded.size === distinct.size);
          assert.equal(isValid(received(request), sign(request, keys)), true);
        }),
      );
    });
    test(`is not valid for anything else, ${form}`, () => {
      fc.assert(
        fc.property(requests, texts, (request, text) => {
          const header = sign(request, keys);
          const body = Buffer.concat([Buffer.from(request.body ?? ''), Buffer.from('x')]);
          const [first, ...others] = request.headers;
          assert.ok(first);
          const changes: Unsigned[] = [
            { ...request, body },
            { ...request, method: request.method === 'GET' ? 'HEAD' : 'GET' },
            { ...request, path: `${request.path.replace(/\/$/, '')}/x${text.replace('/', '')}` },
            { ...request, query: [['new-name', text], ...(request.query ?? [])] },
            { ...request, headers: [[first[0], `${first[1]}x`], ...others] },
          ];
          for (const change of changes) {
            assert.equal(isValid(received(change), header), false, JSON.stringify(change));
          }
        }),
        { numRuns: 50 },
      );
    });
  }
  for (const [form, sign] of Object.entries({ access: signAccess, credential: signCredential })) {
    test(`is not valid when the header was touched, ${form}`, () => {
      fc.assert(
        fc.property(requests, fc.nat(63), fc.nat(), (request, digit, pick) => {
          const header = sign(request, keys);
          const at = header.length - 64 + digit;
          const flipped = header[at] === '0' ? '1' : '0';
          const names = request.headers.map(([name]) => name.toLowerCase());
          const left = names.filter((_, index) => index !== pick % names.length);
          const touched = [
            `${header.slice(0, at)}${flipped}${header.slice(at + 1)}`,
            header.replace(names.join(';'), left.join(';')),
            header.replace(names.join(';'), `${names.join(';')};x-added`),
            ...(new Set(names).size > 1
              ? [header.replace(names.join(';'), [...names].reverse().join(';'))]
              : []),
            header.replace(`/${date.slice(0, 8)}/`, '/20191116/'),
          ];
          for (const text of touched.filter((text) => text !== header)) {
            assert.equal(isValid(received(request), text), false, text);
          }
        }),
        { numRuns: 50 },
      );
    });
    test(`is valid with the query in any order, and with none of it changed, ${form}`, () => {
      const pairs = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z]{1,6}$/), texts), {
        minLength: 1,
        maxLength: 6,
        selector: ([name]) => name,
      });
      fc.assert(
        fc.property(requests, pairs, fc.nat(), fc.boolean(), (request, query, pick, twice) => {
          // A name that comes twice counts once in the older grammar; the newer one covers both.
          const again =
            twice && form === 'access' ? query.map(([name]) => [name, ''] as const) : [];
          const asked: Unsigned = { ...request, query: [...query, ...again] };
          const header = sign(asked, keys);
          const at = pick % (asked.query?.length ?? 1);
          const order = [...(asked.query ?? [])];
          const turned = [...order.slice(at), ...order.slice(0, at)];
          const isBarePost = form === 'credential' && asked.method === 'POST' && !asked.body;
          if (!isBarePost)
            assert.equal(isValid(received({ ...asked, query: turned }), header), true);
          const [name, value] = order[at] ?? ['', ''];
          const changes = [
            order.filter((_, index) => index !== at),
            order.map((pair, index) => (index === at ? ([name, `${value}x`] as const) : pair)),
            order.map((pair, index) => (index === at ? ([`${name}x`, value] as const) : pair)),
          ];
          for (const query of changes) {
            assert.equal(isValid(received({ ...asked, query }), header), false);
          }
        }),
        { numRuns: 60 },
      );
    });
  }
  test('with region and service in the scope', () => {
    const header = signCredential(published, keys, { region: 'eu-de', service: 'rds' });
    assert.equal(isValid(received(published), header), true);
    assert.equal(isValid(received(published), header.replace('/eu-de/', '/eu-nl/')), false);
  });
});

describe('what clients do differently', () => {
  const blank: Unsigned = { ...published, path: '/v3/a b', query: [['begin_time', '10:00 0800']] };
  test('a `+` stands for a blank', () => {
    const header = signAccess(blank, keys);
    assert.equal(isValid(received(blank, '/v3/a%20b?begin_time=10:00+0800'), header), true);
    assert.equal(isValid(received(blank, '/v3/a%20b?begin_time=10%3A00%200800'), header), true);
  });
  test('a `+` stands for itself', () => {
    const plus: Unsigned = { ...published, query: [['begin_time', '10:00+0800']] };
    const target = `${published.path}?begin_time=10:00+0800`;
    assert.equal(isValid(received(plus, target), signAccess(plus, keys)), true);
  });
  test('a path that is escaped twice in the signature', () => {
    const twice = signAccess({ ...blank, path: '/v3/a%20b' }, keys);
    assert.equal(isValid(received(blank), twice), true);
  });
  test('a name without a value', () => {
    const bare: Unsigned = { ...published, query: [['nocatalog', '']] };
    const header = signAccess(bare, keys);
    assert.equal(isValid(received(bare, `${published.path}?nocatalog`), header), true);
  });
  test('runs of blanks in a header, older grammar', () => {
    const spaced: Unsigned = { ...published, headers: [...published.headers, ['x-a', 'a   b']] };
    assert.equal(isValid(received(spaced), signCredential(spaced, keys)), true);
  });
  test('a declared payload hash must be that of the body, or say that it is unsigned', () => {
    for (const [hash, expected] of [
      [sha256('{}'), true],
      ['UNSIGNED-PAYLOAD', true],
      [sha256('{"a":1}'), false],
    ] as const) {
      const request: Unsigned = {
        ...published,
        method: 'POST',
        body: '{}',
        headers: [...published.headers, ['x-sdk-content-sha256', hash]],
      };
      assert.equal(isValid(received(request), signAccess(request, keys)), expected, hash);
    }
  });
  test('a header put in later cannot make the payload unsigned', () => {
    const request: Unsigned = { ...published, method: 'POST', body: '{}' };
    const header = signAccess(request, keys);
    const forged = {
      ...request,
      body: '{"a":1}',
      headers: [...request.headers, ['x-sdk-content-sha256', 'UNSIGNED-PAYLOAD'] as const],
    };
    assert.equal(isValid(received(forged), header), false);
  });
});

test('percent encoding and decoding are inverse on bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = percentEncode(Buffer.from(bytes), '~');
      assert.deepEqual(new Uint8Array(percentDecode(text, 'blank')), new Uint8Array(bytes));
    }),
  );
});
