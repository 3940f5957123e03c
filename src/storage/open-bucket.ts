// The door to `s3-bucket.ts`, so that its SDK is loaded only where a bucket is used.
import type { S3Bucket, S3BucketAddress } from './s3-bucket.ts';
import type { RetryParts } from './s3-retry.ts';

/** Connects to nothing yet. @throws invalid when the CA file cannot be read */
export async function openS3Bucket(
  address: S3BucketAddress,
  parts: Pick<RetryParts, 'clock' | 'random' | 'log'>,
): Promise<S3Bucket> {
  const { S3Bucket } = await import('./s3-bucket.ts');
  return await S3Bucket.open(address, parts);
}
