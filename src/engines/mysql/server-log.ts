// What a server's log says about why it did not start.
import { readTextTail } from '../../platform/text-tail.ts';

const linesMax = 6;

export type StartFailure = { readonly reason: string; readonly hint: string };

const hints: readonly [RegExp, string][] = [
  [
    /encrypt|key management|Plugin '\w+' init function/i,
    'the server needs the keys of the old one: name their place in a file with a group [mysqld], ' +
      'and that file in CAIRN_MYSQL_CONFIG_FILE',
  ],
  [/Unable to lock|Resource temporarily unavailable/, 'another server runs on the folder'],
  [/Address already in use|Can't start server: Bind/, 'choose another port'],
  [/Cannot allocate memory|Can't allocate/, 'this host has too little memory free'],
  [/lower_case_table_names/, 'the names of tables need a file system like that of the old server'],
  [
    /No space left|[Dd]isk( is)? full|\berror:? 28\b|Errcode: 28\b/,
    'the disk of the new server is full: free space there; a new log of InnoDB is made on top of ' +
      'the files of the backup',
  ],
  // Of our own settings a server may not know all, and warns of those.
  [
    /^(?!.*\[Warning\]).*unknown (variable|option)/m,
    'remove the setting, or install what defines it',
  ],
];

/** The last lines that say ERROR; without any, the last lines. */
export async function explainServerLog(path: string): Promise<StartFailure> {
  const lines = (await readTextTail(path)).split('\n').filter((line) => line.trim() !== '');
  const serious = lines.filter((line) => /\[ERROR\]|\bERROR\b|Can't find file/.test(line));
  const shown = (serious.length > 0 ? serious : lines).slice(-linesMax);
  const reason = shown.map(stripPrefix).join('; ') || 'its log is empty';
  const found = hints.find(([pattern]) => pattern.test(lines.slice(-40).join('\n')));
  return { reason, hint: `${found ? `${found[1]}; ` : ''}the whole log is ${path}` };
}

function stripPrefix(line: string): string {
  return line
    .replace(/^(\[\d+\] )?\d{4}-\d\d-\d\d[T ]+[\d:.]+Z? +/, '')
    .replace(/^\d+ /, '')
    .trim();
}
