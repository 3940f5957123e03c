// A link says what may be fetched until when; the signature (HMAC-SHA-256, RFC 2104) proves that we
// said it. Whoever has the link may fetch, like with a key: nothing else is asked.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { BackupId, ProjectId } from '../../model/ids.ts';

export type LinkClaim = {
  readonly projectId: ProjectId;
  readonly backupId: BackupId;
  readonly fileName: string;
  /** Seconds since 1970. */
  readonly expiresSeconds: number;
};

/** 64 hex digits. */
export function signLink(claim: LinkClaim, key: Buffer): string {
  const { projectId, backupId, fileName, expiresSeconds } = claim;
  // As JSON no two claims are written alike, whatever a name holds.
  const text = JSON.stringify(['cairn-link/1', projectId, backupId, fileName, expiresSeconds]);
  return createHmac('sha256', key).update(text).digest('hex');
}

/** Takes the same time wherever the signature is wrong. */
export function isLinkSigned(claim: LinkClaim, signature: string, key: Buffer): boolean {
  if (!/^[0-9a-f]{64}$/.test(signature)) return false;
  return timingSafeEqual(Buffer.from(signLink(claim, key), 'hex'), Buffer.from(signature, 'hex'));
}
