// Names of what lies in an exchange: `<name>.<stripe>of<stripes>.bak`, one of each stripe. A fixed
// alphabet, and the only way from a name to a path or a URL.
import { CairnError } from '../../model/errors.ts';
import { devicesMax } from './devices.ts';
import type { ExchangeName } from './exchange.ts';

const namePattern = /^[a-z0-9-]{1,100}$/;
const filePattern = /^([a-z0-9-]{1,100})\.(\d{1,2})of(\d{1,2})\.bak$/;

/** In order of the stripes. @throws bug */
export function fileNames({ name, stripes }: ExchangeName): readonly string[] {
  const isKnown = Number.isInteger(stripes) && stripes >= 1 && stripes <= devicesMax;
  if (!namePattern.test(name) || !isKnown) {
    throw new CairnError('bug', `${JSON.stringify(name)} is not a name for ${stripes} files`);
  }
  return Array.from({ length: stripes }, (_, index) => `${name}.${index + 1}of${stripes}.bak`);
}

/** @throws bug */
export function fileNameOf(backup: ExchangeName, stripe: number): string {
  const name = fileNames(backup)[stripe];
  if (name === undefined) throw new CairnError('bug', `${backup.name} has no stripe ${stripe}`);
  return name;
}

/** The backups that these files are of, those that begin so, in the order of the alphabet. */
export function backupsOf(files: Iterable<string>, prefix: string): readonly ExchangeName[] {
  const found = new Map<string, ExchangeName>();
  for (const file of files) {
    const [, name = '', , stripes = ''] = filePattern.exec(file) ?? [];
    if (name === '' || !name.startsWith(prefix)) continue;
    found.set(`${name}.${stripes}`, { name, stripes: Number(stripes) });
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
