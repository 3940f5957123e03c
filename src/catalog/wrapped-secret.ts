import { Secret } from '../model/secret.ts';
import type { MasterKey } from '../platform/master-key.ts';

/**
 * Secrets in the catalog: base64 of the bytes that the master key wrapped, bound to what they are
 * for.
 */
export function wrapSecret(masterKey: MasterKey, secret: Secret, purpose: string): string {
  return masterKey.wrap(Buffer.from(secret.reveal(), 'utf8'), purpose).toString('base64');
}

/** @throws repository-damaged when another key wrapped it, or for another purpose */
export function unwrapSecret(masterKey: MasterKey, wrapped: string, purpose: string): Secret {
  return new Secret(masterKey.unwrap(Buffer.from(wrapped, 'base64'), purpose).toString('utf8'));
}
