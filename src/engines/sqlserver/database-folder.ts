import { createHash } from 'node:crypto';

/**
 * What stands for a database in names of files. Of the name as the server has it: some tell names
 * apart that differ in upper and lower case only, and two databases must not share their files.
 */
export function databaseFolder(database: string): string {
  return createHash('sha256').update(database).digest('hex').slice(0, 16);
}
