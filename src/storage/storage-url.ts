// `CAIRN_STORAGE` as a value: which kind of storage, and where. The only place that decides the
// kind; pure, so that every mistake in it can be tested.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CairnError } from '../model/errors.ts';
import type { LockTerms } from './storage.ts';

export type S3Address = {
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  /** Null: Amazon's own for the region. */
  readonly endpoint: string | null;
  /** Null: as the AWS settings of this machine say. */
  readonly region: string | null;
  readonly pathStyle: boolean;
  /** Certificates to trust, in PEM, instead of the usual ones. */
  readonly caFile: string | null;
  /** Null: objects are not locked. */
  readonly lock: LockTerms | null;
  /** The bucket as it was then, to be read only; null: as it is. */
  readonly at: Date | null;
};

export type StorageAddress =
  | { readonly kind: 'local'; readonly folder: string }
  | ({ readonly kind: 's3' } & S3Address);

const fileHint = 'set CAIRN_STORAGE to file:///absolute/path, with %23 for # and %3F for ?';
const s3Hint =
  'set CAIRN_STORAGE to s3://BUCKET/PREFIX, or for another store than Amazon’s to ' +
  's3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&path_style=true&ca=/FILE';
const settings = ['endpoint', 'region', 'path_style', 'ca', 'lock', 'lock_days', 'at'] as const;
const lockHint =
  'write lock=governance or lock=compliance in CAIRN_STORAGE, ' +
  'and lock_days=N with a whole number from 1 to 3650';
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/;
const lockDaysMax = 3_650;
/** Long enough for somebody to come back from holidays. */
const usualLockDays = 14;
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/;
const prefixPattern = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;
/** Object names have 512 bytes, keys of S3 may have 1024. */
const prefixBytesMax = 256;
/** Stores of one's own rarely have regions, but the signature needs one. */
const regionOfOthers = 'us-east-1';

/** The storage that an address names: `file:` or `s3:`. @throws invalid, saying what to write */
export function parseStorageUrl(url: string): StorageAddress {
  const parsed = URL.parse(url);
  if (parsed?.protocol === 'file:') return { kind: 'local', folder: parseFolder(parsed) };
  if (parsed?.protocol === 's3:') return { kind: 's3', ...parseS3(parsed) };
  const scheme = url.split('://')[0];
  const hint = `${fileHint}, or to s3://BUCKET/PREFIX`;
  throw new CairnError('invalid', `storage location ${scheme}:// is not supported`, { hint });
}

function parseFolder(url: URL): string {
  if (url.host === '' && url.search === '' && url.hash === '') return resolve(fileURLToPath(url));
  const text = `storage location ${url.href} does not name a folder`;
  throw new CairnError('invalid', text, { hint: fileHint });
}

function parseS3(url: URL): S3Address {
  // Refused without being repeated: what stands there is a secret.
  if (url.username !== '' || url.password !== '') {
    throw new CairnError('invalid', 'the storage location holds credentials', {
      hint: 'give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials',
    });
  }
  const bucket = url.host;
  if (!bucketPattern.test(bucket)) throw refused(`${JSON.stringify(bucket)} is no bucket name`);
  if (url.hash !== '') throw refused('nothing may follow a #');
  const read = readSettings(url.searchParams);
  const { endpoint, region, path_style: pathStyle, ca } = read;
  if (ca !== undefined && !ca.startsWith('/')) throw refused(`ca=${ca} is no absolute path`);
  return {
    bucket,
    prefix: parsePrefix(url.pathname),
    endpoint: endpoint === undefined ? null : parseEndpoint(endpoint),
    region: region ?? (endpoint === undefined ? null : regionOfOthers),
    pathStyle: parseSwitch('path_style', pathStyle) ?? endpoint !== undefined,
    caFile: ca ?? null,
    lock: parseLock(read.lock, read.lock_days),
    at: read.at === undefined ? null : parseTime(read.at),
  };
}

function readSettings(found: URLSearchParams): Partial<Record<(typeof settings)[number], string>> {
  const names = [...found.keys()];
  const unknown = names.find((name) => !settings.some((known) => known === name));
  if (unknown !== undefined) {
    throw refused(`there is no setting ${unknown}, only ${settings.join(', ')}`);
  }
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw refused(`${twice} is there twice`);
  const empty = names.find((name) => found.get(name) === '');
  if (empty !== undefined) throw refused(`${empty} is empty`);
  return Object.fromEntries(found);
}

function parsePrefix(path: string): string {
  const prefix = path.replace(/^\//, '').replace(/\/$/, '');
  if (prefix === '') return '';
  const parts = prefix.split('/');
  const fine = prefixPattern.test(prefix) && prefix.length <= prefixBytesMax;
  if (fine && !parts.some((part) => part === '.' || part === '..')) return `${prefix}/`;
  throw refused(`the prefix ${prefix} has other signs than letters, digits and ._-/`);
}

function parseEndpoint(text: string): string {
  const url = URL.parse(text);
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (!url || !isWeb) throw refused(`the endpoint ${text} is no http(s) address`);
  if (url.username !== '' || url.password !== '') throw refused('the endpoint holds credentials');
  const bare = url.pathname === '/' && url.search === '' && url.hash === '';
  if (!bare) throw refused(`the endpoint ${text} has a path`);
  return url.origin;
}

function parseSwitch(name: string, text: string | undefined): boolean | null {
  if (text === undefined) return null;
  if (text === 'true' || text === 'false') return text === 'true';
  throw refused(`${name} is ${text}, not true or false`);
}

function parseLock(mode: string | undefined, daysText: string | undefined): LockTerms | null {
  if (mode === undefined && daysText === undefined) return null;
  if (mode !== 'governance' && mode !== 'compliance') {
    throw refused(mode === undefined ? 'lock_days without lock' : `lock is ${mode}`, lockHint);
  }
  const days = Number(daysText ?? usualLockDays);
  if (Number.isInteger(days) && days >= 1 && days <= lockDaysMax) return { mode, days };
  throw refused(`lock_days is ${daysText}`, lockHint);
}

function parseTime(text: string): Date {
  const at = new Date(timePattern.test(text) ? text : Number.NaN);
  if (!Number.isNaN(at.getTime())) return at;
  throw refused(
    `at=${text} is no moment`,
    'write it in UTC, as in CAIRN_STORAGE=s3://…&at=2026-03-01T14:30:00Z',
  );
}

function refused(what: string, hint: string = s3Hint): CairnError {
  return new CairnError('invalid', `storage location: ${what}`, { hint });
}
