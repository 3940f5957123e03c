import { CairnError } from '../../model/errors.ts';

const nameLengthMax = 64;
const triesMax = 1000;

/** The name, or with `-2`, `-3`, … when it is taken. */
export async function freeName(
  name: string,
  isTaken: (name: string) => Promise<boolean>,
): Promise<string> {
  if (!(await isTaken(name))) return name;
  for (let number = 2; number < triesMax; number++) {
    const end = `-${number}`;
    const candidate = `${name.slice(0, nameLengthMax - end.length)}${end}`;
    if (!(await isTaken(candidate))) return candidate;
  }
  throw new CairnError('conflict', `${triesMax} things are named like ${name}`);
}
