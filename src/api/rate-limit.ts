// How often a caller may ask. A caller is a token, an access key from one address, or an address:
// what anybody can write into a header must not use up what belongs to somebody else.
import { createHash } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import type { ApiApp } from './api-parts.ts';
import { RequestError } from './errors.ts';
import { parseAuthorization } from './signature.ts';

const minuteMs = 60_000;
/** Callers that are remembered; the ones longest unseen are forgotten first. */
const callersMax = 20_000;

export type RateLimits = {
  /** Of one caller; null: no limit. */
  readonly requestsPerMinute: number | null;
  /** Token calls from one address; null: no limit. */
  readonly loginsPerMinute: number | null;
};

/** Must be registered before the routes that it is to limit. */
export function limitRequests(app: ApiApp, { requestsPerMinute }: RateLimits): void {
  app.register(rateLimit, {
    global: requestsPerMinute !== null,
    ...(requestsPerMinute === null ? {} : { max: requestsPerMinute }),
    timeWindow: minuteMs,
    cache: callersMax,
    keyGenerator: callerKeyOf,
    errorResponseBuilder: () => new RequestError('throttled'),
    addHeaders: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
    },
    addHeadersOnExceeding: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
    },
  });
}

/** For what is asked by machines without a login, again and again. */
export const unlimited = { rateLimit: false } as const;

/** For the call that costs most and that guessers make. */
export function limitLogins({ loginsPerMinute }: RateLimits) {
  if (loginsPerMinute === null) return unlimited;
  const keyGenerator = ({ ip }: FastifyRequest): string => ip;
  return { rateLimit: { max: loginsPerMinute, timeWindow: minuteMs, keyGenerator } };
}

function callerKeyOf({ headers, ip }: FastifyRequest): string {
  const token = headers['x-auth-token'];
  if (typeof token === 'string' && token !== '') {
    return `token ${createHash('sha256').update(token).digest('base64')}`;
  }
  const accessKey = parseAuthorization(headers.authorization ?? '')?.accessKey;
  return accessKey === undefined ? `address ${ip}` : `key ${accessKey.slice(0, 64)} ${ip}`;
}
