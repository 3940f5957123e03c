import { createHash } from 'node:crypto';

/** What stands for a database in names of files; the same however its letters are written. */
export function databaseFolder(database: string): string {
  return createHash('sha256').update(database.toLowerCase()).digest('hex').slice(0, 16);
}
