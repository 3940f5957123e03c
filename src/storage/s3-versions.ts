// The versions of objects in a bucket that keeps them (Amazon S3 API reference,
// ListObjectVersions). A deletion is a version too, without content.
import type {
  DeleteMarkerEntry,
  ListObjectVersionsCommandOutput,
  ObjectVersion as S3Version,
} from '@aws-sdk/client-s3';
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { S3Refusal, toS3Error } from './s3-failure.ts';
import type { S3Requests } from './s3-requests.ts';
import type { ObjectVersion } from './storage.ts';

/** Complete, or it throws; in no particular order. */
export async function* listVersions(
  requests: S3Requests,
  prefix: string,
  signal: AbortSignal,
): AsyncIterable<ObjectVersion> {
  const seen = new Set<string>();
  let after: VersionMarker | null = {};
  while (after !== null) {
    const page: ListObjectVersionsCommandOutput = await listPage(requests, prefix, after, signal);
    for (const version of page.Versions ?? []) yield toVersion(requests, prefix, version);
    for (const deletion of page.DeleteMarkers ?? []) yield toVersion(requests, prefix, deletion);
    after = nextOf(page);
    const key = JSON.stringify(after);
    if (after !== null && seen.has(key)) throw noListing(requests, prefix, 'it goes in a circle');
    seen.add(key);
  }
}

type VersionMarker = { readonly KeyMarker?: string; readonly VersionIdMarker?: string };

async function listPage(
  requests: S3Requests,
  prefix: string,
  after: VersionMarker,
  signal: AbortSignal,
): Promise<ListObjectVersionsCommandOutput> {
  const { connection, address } = requests.parts;
  const request = { what: `list versions of ${prefix || 'everything'}`, sizeBytes: 0, signal };
  return await requests.attempt(request, async (abortSignal) => {
    const Prefix = `${address.prefix}${prefix}`;
    const command = new ListObjectVersionsCommand({ Bucket: address.bucket, Prefix, ...after });
    const page = await connection.client.send(command, { abortSignal });
    if (page.IsTruncated === undefined || page.Name !== address.bucket) {
      throw new S3Refusal('other', 'the answer is no listing of the bucket');
    }
    if (page.IsTruncated && !page.NextKeyMarker) {
      throw new S3Refusal('other', 'a listing that goes on does not say where');
    }
    return page;
  });
}

function nextOf(page: ListObjectVersionsCommandOutput): VersionMarker | null {
  const { IsTruncated, NextKeyMarker: key, NextVersionIdMarker: version } = page;
  if (!IsTruncated || !key) return null;
  return { KeyMarker: key, ...(version ? { VersionIdMarker: version } : {}) };
}

function toVersion(
  requests: S3Requests,
  prefix: string,
  found: S3Version | DeleteMarkerEntry,
): ObjectVersion {
  const { address } = requests.parts;
  const { Key: key, VersionId: versionId, LastModified: storedAt, IsLatest } = found;
  if (!key?.startsWith(`${address.prefix}${prefix}`) || !versionId || !storedAt) {
    throw noListing(requests, prefix, 'it holds what was not asked for');
  }
  const { Size: sizeBytes, ETag: etag } = found as S3Version;
  return {
    name: key.slice(address.prefix.length),
    ...{ versionId, storedAt, isLatest: IsLatest === true },
    ...{ sizeBytes: sizeBytes ?? 0, contentTag: (etag ?? '').replaceAll('"', '') },
    isDeletion: etag === undefined,
  };
}

function noListing(requests: S3Requests, prefix: string, text: string): Error {
  const { location, connection } = requests.parts;
  const where = { location, skewMs: connection.skewMs() };
  return toS3Error(new S3Refusal('other', text), `list versions of ${prefix}`, where);
}
