// The recovery kit: one page that, with the storage, brings everything back. The master key is
// printed in four lines with a checksum each, so that whoever types it in learns which line is
// wrong.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import type { MasterKey } from '../../platform/master-key.ts';

export type KitFacts = {
  readonly storageUrl: string;
  /** Null when the storage could not be asked. */
  readonly repositoryId: string | null;
  readonly masterKey: MasterKey;
  readonly version: string;
  readonly now: Date;
};

const lineDigits = 16;
const lineCount = 4;
const keyDigits = lineDigits * lineCount;
const linePattern = /^\s*([1-9])\s+((?:[0-9a-f]{4}\s+){4})-\s*([0-9a-f]{4})\s*$/i;

/** The page as text; it holds the key. */
export function composeKit({ masterKey, ...facts }: KitFacts): string {
  const lines = splitKey(masterKey.reveal()).map(
    (digits, index) =>
      `    ${index + 1}  ${digits.replaceAll(/(.{4})/g, '$1 ')} - ${checksumOf(index, digits)}`,
  );
  return [
    'CAIRN RECOVERY KIT',
    '',
    'Keep this page apart from the backups: whoever has both can read the data, and without the',
    'key nobody can.',
    '',
    `  printed:     ${facts.now.toISOString().slice(0, 10)}, cairn ${facts.version}`,
    `  storage:     ${facts.storageUrl}`,
    `  repository:  ${facts.repositoryId ?? 'not known: the storage could not be asked'}`,
    `  key id:      ${masterKey.id}`,
    '  master key (each line ends with its checksum):',
    '',
    ...lines,
    '',
    'On an empty machine, with cairn of this version or a later one:',
    '',
    `  export CAIRN_STORAGE='${facts.storageUrl}'`,
    '  cairn key import         and type the four lines above (or: cairn key import THIS-FILE)',
    '  cairn check              looks whether everything is there; --read-data reads all of it',
    '',
    'Then one backup, without anything else:',
    '',
    '  ls …/instances/*/backups/              the ids, in the storage',
    '  cairn restore --backup ID --to /new/folder',
    '',
    'or everything, with all backups listed as before:',
    '',
    '  cairn catalog rebuild --take-over      only if the old Cairn is gone for good',
    '  cairn serve',
    '',
    'If the storage has moved, CAIRN_STORAGE is where it is now.',
    '',
  ].join('\n');
}

/**
 * Reads a kit, its four lines, or the 64 digits alone.
 * @throws invalid naming the line that is wrong; no text repeats a digit
 */
export function parseKit(text: string): Secret {
  const bare = text.trim();
  if (/^[0-9a-f]{64}$/i.test(bare)) return new Secret(bare.toLowerCase());
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const [, number = '', groups = '', checksum = ''] = linePattern.exec(line) ?? [];
    if (number === '') continue;
    const index = Number(number) - 1;
    const digits = groups.replaceAll(/\s/g, '').toLowerCase();
    if (index >= lineCount || checksumOf(index, digits) !== checksum.toLowerCase()) {
      throw invalidKit(`line ${number} of the master key has a wrong checksum`);
    }
    found[index] = digits;
  }
  const missing = Array.from({ length: lineCount }, (_, index) => index).find(
    (index) => found[index] === undefined,
  );
  if (missing !== undefined) throw invalidKit(`line ${missing + 1} of the master key is missing`);
  const key = found.join('');
  if (key.length !== keyDigits) throw invalidKit('the master key has a wrong length');
  return new Secret(key);
}

function invalidKit(text: string): CairnError {
  return new CairnError('invalid', text, {
    hint: 'give the four lines of the recovery kit as they are printed, or its file',
  });
}

function splitKey(hex: string): string[] {
  return Array.from({ length: lineCount }, (_, index) =>
    hex.slice(index * lineDigits, (index + 1) * lineDigits),
  );
}

/** Of one line: 16 bits find all but one of 65,536 mistakes. */
function checksumOf(index: number, digits: string): string {
  const text = `cairn recovery kit ${index + 1} ${digits}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 4);
}
