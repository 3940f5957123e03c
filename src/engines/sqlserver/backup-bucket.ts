// The bucket that a connection names for handing backups over:
// `backupUrl=s3://store:9000/bucket/prefix`, in the form that the server wants it in its statements
// (SQL Server documentation, "SQL Server backup to URL for S3-compatible object storage"), with
// what Cairn needs besides to reach the same place.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';

export type BackupBucket = {
  /** `s3://host:port/bucket/prefix`, without a slash at its end. */
  readonly url: string;
  readonly bucket: string;
  readonly prefix: string;
  /** As the server is told; null: its default. */
  readonly region: string | null;
  /** The store as Cairn reaches it: `https://host:port`. */
  readonly endpoint: string;
  /** A file of certificates to trust; null: the system's. */
  readonly caFile: string | null;
  /** Of the worker's AWS settings, with keys that the server may have; null: its usual keys. */
  readonly profile: string | null;
};

export const bucketParameters = [
  ...(['backupUrl', 'backupRegion', 'backupEndpoint', 'backupCa', 'backupProfile'] as const),
] as const;
type BucketParameter = (typeof bucketParameters)[number];

/** What names of our own, behind a slash, still leave of the server's 259 characters. */
const urlLengthMax = 140;
const urlPattern = /^s3:\/\/([A-Za-z0-9.-]+(?::\d{1,5})?)\/([\w.-]{2,63})((?:\/[\w.-]+)*)$/;
const shape = 'backupUrl has the form s3://host:9000/bucket/prefix, of up to';

/**
 * What a connection string says, as options to keep; empty: it names no bucket. @throws invalid
 */
export function parseBucket(
  read: (name: BucketParameter) => string | undefined,
): Readonly<Record<string, string>> {
  const given = bucketParameters.flatMap((name) => {
    const value = read(name);
    return value === undefined ? [] : ([[name, value]] as const);
  });
  if (given.length === 0) return {};
  const values = Object.fromEntries(given) as Partial<Record<BucketParameter, string>>;
  if (values.backupUrl === undefined) {
    throw refused(`${given[0]?.[0]} is given without backupUrl`, `${shape} ${urlLengthMax} signs`);
  }
  const url = values.backupUrl.replace(/\/+$/, '');
  splitUrl(url);
  if (values.backupEndpoint !== undefined) checkEndpoint(values.backupEndpoint);
  if (!/^[A-Za-z0-9-]{1,64}$/.test(values.backupRegion ?? 'none')) {
    throw refused(`backupRegion ${values.backupRegion} is not the name of a region`);
  }
  if (!/^\/\P{Cc}+$/u.test(values.backupCa ?? '/none')) {
    throw refused(`backupCa ${values.backupCa} is not an absolute path`);
  }
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(values.backupProfile ?? 'none')) {
    throw refused(`backupProfile ${values.backupProfile} is not the name of a profile`);
  }
  return { ...values, backupUrl: url };
}

/** Null: the connection names none. @throws invalid */
export function findBackupBucket({ options = {} }: Connection): BackupBucket | null {
  const { backupUrl: url, backupEndpoint } = options;
  if (url === undefined) return null;
  const { host, bucket, prefix } = splitUrl(url);
  return {
    ...{ url, bucket, prefix },
    // The server speaks to it over TLS and in no other way.
    endpoint: backupEndpoint ?? `https://${host}`,
    region: options['backupRegion'] ?? null,
    caFile: options['backupCa'] ?? null,
    profile: options['backupProfile'] ?? null,
  };
}

function splitUrl(url: string): {
  readonly host: string;
  readonly bucket: string;
  readonly prefix: string;
} {
  const [, host = '', bucket = '', path = ''] = urlPattern.exec(url) ?? [];
  const isPlain = !path.split('/').some((part) => part === '.' || part === '..');
  if (host !== '' && isPlain && url.length <= urlLengthMax) {
    return { host, bucket, prefix: path.slice(1) };
  }
  const hint = `${shape} ${urlLengthMax} letters, digits and ._-/`;
  // What stands before an @ would be keys.
  if (url.includes('@')) throw refused('backupUrl holds credentials', hint);
  throw refused(`backupUrl ${url} cannot be used`, hint);
}

function checkEndpoint(text: string): void {
  const url = URL.parse(text);
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:';
  if (url && isWeb && url.origin === text.replace(/\/$/, '')) return;
  throw refused('backupEndpoint is not the address of a store', 'write https://host:9000');
}

function refused(what: string, hint?: string): CairnError {
  return new CairnError('invalid', what, hint === undefined ? {} : { hint });
}
