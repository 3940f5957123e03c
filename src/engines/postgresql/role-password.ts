// Sets a role's password as a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677; PostgreSQL documentation,
// chapter "Password Authentication"), so that the password itself reaches neither the server nor
// its log.

import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import type { Random } from '../../platform/random.ts';
import type { Query } from './connection.ts';
import { quoteName } from './sql-text.ts';

const iterations = 4096;
const saltBytes = 16;

export function createVerifier(password: string, salt: Buffer): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const sign = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(sign('Client Key')).digest('base64');
  const serverKey = sign('Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** The connection must be of a superuser or of the role itself. */
export async function setRolePassword(
  query: Query,
  role: string,
  password: string,
  random: Random,
): Promise<void> {
  const verifier = createVerifier(password, random.bytes(saltBytes));
  await query(`alter role ${quoteName(role)} password '${verifier}'`);
}

/**
 * Makes a role that can log in and take backups, unless it exists: one that does stays as it is.
 * The connection must be of a superuser.
 */
export async function ensureRole(query: Query, role: string): Promise<void> {
  const found = await query('select from pg_roles where rolname = $1', [role]);
  if (found.length > 0) return;
  await query(`create role ${quoteName(role)} login replication`);
  // Else the size of the server would be hidden from it.
  await query(`grant pg_read_all_stats, pg_read_all_settings to ${quoteName(role)}`);
}
