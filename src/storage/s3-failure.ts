// What a failed S3 request means: one table from codes and statuses to what happened, whether it
// may be over in a moment, and what to tell the operator.
//
// Codes: Amazon S3 API reference, "Error responses"; NotFound, Forbidden and bare numbers are what
// the SDK makes of answers without a body, as HEAD has. Network codes: Node, libuv.
import type { ErrorKind } from '../model/errors.ts';
import { CairnError } from '../model/errors.ts';

const failures = {
  absent: { passing: false, text: 'no such object' },
  'no-object': {
    passing: false,
    text: 'the store answers 404',
    hint: 'check that the endpoint in CAIRN_STORAGE is an S3 store',
  },
  taken: { passing: false, text: 'it exists' },
  'no-bucket': {
    passing: false,
    text: 'there is no such bucket',
    hint: 'create the bucket, or correct its name in CAIRN_STORAGE; Cairn makes no buckets',
  },
  'no-upload': { passing: false, text: 'the store has forgotten the upload' },
  unset: { passing: false, text: 'nothing of the kind is set' },
  range: { passing: false, text: 'the object is shorter than the range' },
  'not-implemented': { passing: false, text: 'the store does not know this request' },
  credentials: {
    passing: false,
    text: 'the store refuses the credentials',
    hint: 'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in ~/.aws/credentials',
  },
  'no-credentials': {
    passing: false,
    text: 'there are no credentials',
    hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role',
  },
  denied: {
    passing: false,
    text: 'access denied',
    hint: 'allow the user what docs/storage.md lists, for this bucket and prefix',
  },
  skew: {
    passing: false,
    text: 'the clock of this machine differs too much from the store’s',
    hint: 'set the clock, for example with chrony or systemd-timesyncd',
  },
  region: {
    passing: false,
    text: 'the bucket is in another region, or there is none given',
    hint: 'add region=… to CAIRN_STORAGE',
  },
  certificate: {
    passing: false,
    text: 'the certificate of the store is not trusted',
    hint: 'add ca=/path/to/ca.pem to CAIRN_STORAGE when the store has a certificate of its own',
  },
  full: {
    passing: false,
    text: 'no space left, or the quota is used up',
    hint: 'enlarge the quota of the bucket, or delete backups that are not needed',
  },
  'slow-down': {
    passing: true,
    text: 'the store asks to slow down, again and again',
    hint: 'it is busy, or limits the rate of requests: look at its limits',
  },
  busy: { passing: true, text: 'the store is busy with the same object' },
  server: { passing: true, text: 'the store reports an error of its own', hint: 'look at its log' },
  altered: { passing: true, text: 'what arrived at the store was not what was sent' },
  'cut-short': { passing: true, text: 'the answer was cut short' },
  refused: {
    passing: true,
    text: 'nothing listens there',
    hint: 'check that the store runs, and the endpoint in CAIRN_STORAGE',
  },
  network: {
    passing: true,
    text: 'the store cannot be reached',
    hint: 'check the network, and the endpoint in CAIRN_STORAGE',
  },
  silent: {
    passing: true,
    text: 'the store does not answer in time',
    hint: 'check that the endpoint in CAIRN_STORAGE is an S3 store and that it is well',
  },
  other: {
    passing: false,
    text: 'the store answers with something that Cairn does not understand',
    hint: 'check that the endpoint in CAIRN_STORAGE is an S3 store',
  },
} as const satisfies Record<string, { passing: boolean; text: string; hint?: string }>;

export type S3Failure = keyof typeof failures;

const byCode: Readonly<Record<string, S3Failure>> = {
  NoSuchKey: 'no-object',
  NotFound: 'no-object',
  NoSuchBucket: 'no-bucket',
  InvalidBucketName: 'no-bucket',
  NoSuchVersion: 'no-object',
  NoSuchUpload: 'no-upload',
  NoSuchLifecycleConfiguration: 'unset',
  NoSuchObjectLockConfiguration: 'unset',
  ObjectLockConfigurationNotFoundError: 'unset',
  PreconditionFailed: 'taken',
  ConditionalRequestConflict: 'busy',
  OperationAborted: 'busy',
  InvalidRange: 'range',
  NotImplemented: 'not-implemented',
  InvalidAccessKeyId: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  InvalidToken: 'credentials',
  ExpiredToken: 'credentials',
  InvalidSecurity: 'credentials',
  CredentialsProviderError: 'no-credentials',
  TokenProviderError: 'no-credentials',
  AccessDenied: 'denied',
  AllAccessDisabled: 'denied',
  AccountProblem: 'denied',
  Forbidden: 'denied',
  RequestTimeTooSkewed: 'skew',
  RequestExpired: 'skew',
  PermanentRedirect: 'region',
  TemporaryRedirect: 'region',
  AuthorizationHeaderMalformed: 'region',
  IllegalLocationConstraintException: 'region',
  QuotaExceeded: 'full',
  InsufficientStorage: 'full',
  XMinioStorageFull: 'full',
  SlowDown: 'slow-down',
  TooManyRequests: 'slow-down',
  ThrottlingException: 'slow-down',
  ServiceUnavailable: 'slow-down',
  InternalError: 'server',
  RequestTimeout: 'server',
  BadDigest: 'altered',
  XAmzContentSHA256Mismatch: 'altered',
  IncompleteBody: 'altered',
  ECONNREFUSED: 'refused',
  ECONNRESET: 'network',
  EPIPE: 'network',
  ETIMEDOUT: 'network',
  ENOTFOUND: 'network',
  EAI_AGAIN: 'network',
  EHOSTUNREACH: 'network',
  ENETUNREACH: 'network',
  ERR_STREAM_PREMATURE_CLOSE: 'cut-short',
  TimeoutError: 'silent',
  AbortError: 'silent',
  SELF_SIGNED_CERT_IN_CHAIN: 'certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificate',
  CERT_HAS_EXPIRED: 'certificate',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificate',
};

const byStatus: Readonly<Record<number, S3Failure>> = {
  301: 'region',
  307: 'region',
  401: 'credentials',
  403: 'denied',
  412: 'taken',
  416: 'range',
  429: 'slow-down',
  500: 'server',
  501: 'not-implemented',
  502: 'server',
  503: 'slow-down',
  504: 'server',
  507: 'full',
};

const kinds: Partial<Record<S3Failure, ErrorKind>> = {
  absent: 'not-found',
  taken: 'conflict',
  range: 'repository-damaged',
  full: 'storage-full',
};

/** Beyond this Amazon refuses a signature; S3 API reference, `RequestTimeTooSkewed`. */
const skewMaxMs = 15 * 60_000;

/** An answer that came, and is wrong. `retrying` looks at its kind like at that of any other. */
export class S3Refusal extends Error {
  readonly failure: S3Failure;
  constructor(failure: S3Failure, text: string) {
    super(text);
    this.failure = failure;
  }
}

/** What a request that threw has met. */
export function classifyFailure(error: unknown): S3Failure {
  if (error instanceof S3Refusal) return error.failure;
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at && typeof at.code === 'string' ? byCode[at.code] : undefined;
    const known = code ?? byCode[at.name];
    if (known !== undefined) return known;
    if (/socket hang up|Region is missing/.test(at.message)) {
      return at.message.includes('Region') ? 'region' : 'network';
    }
  }
  return byStatus[statusOf(error) ?? 0] ?? 'other';
}

/** Whether the same request may succeed in a moment. */
export function isPassing(error: unknown): boolean {
  return failures[classifyFailure(error)].passing;
}

/**
 * What the operator reads. `what` is a verb with its object: `write tmp/x`.
 * Every kind but `not-found`, `conflict`, `repository-damaged` and `storage-full` becomes
 * `storage-unavailable`: a missing bucket is not a missing object.
 */
export function toS3Error(
  error: unknown,
  what: string,
  where: { readonly location: string; readonly skewMs: number | null },
): CairnError {
  if (error instanceof CairnError) return error;
  let failure = classifyFailure(error);
  // An answer to HEAD has no body to name the reason in.
  if (failure === 'denied' && Math.abs(where.skewMs ?? 0) > skewMaxMs) failure = 'skew';
  const known: { text: string; hint?: string } = failures[failure];
  const code = error instanceof Error ? error.name : String(error);
  return new CairnError(
    kinds[failure] ?? 'storage-unavailable',
    `cannot ${what} in ${where.location}: ${known.text}`,
    {
      ...(known.hint === undefined ? {} : { hint: known.hint }),
      details: { failure, code, status: statusOf(error), reason: reasonOf(error) },
      cause: error,
    },
  );
}

function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null;
  const metadata = error.$metadata as { httpStatusCode?: number } | undefined;
  return metadata?.httpStatusCode ?? null;
}

function reasonOf(error: unknown): string | null {
  return error instanceof Error ? error.message.slice(0, 300) : null;
}
