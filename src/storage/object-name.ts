import { CairnError } from '../model/errors.ts';

const partPattern = /^[A-Za-z0-9._-]+$/;
export const nameBytesMax = 512;

/** Names come from ids and counters, never from a user's text; this holds the line. @throws bug */
export function assertObjectName(name: string): void {
  const parts = name.split('/');
  const fine = name.length <= nameBytesMax && parts.every(isPart);
  if (!fine) throw new CairnError('bug', `not a storage object name: ${JSON.stringify(name)}`);
}

function isPart(part: string): boolean {
  return partPattern.test(part) && part !== '.' && part !== '..';
}
