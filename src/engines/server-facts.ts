// What must be known to start a server of ours again lies in its own folder, written once when the
// folder was restored: how it is started follows from it, from the port and from this host. Each
// engine says what it keeps there.
import { join } from 'node:path';
import { CairnError } from '../model/errors.ts';
import type { ManagedServer } from '../model/instance.ts';
import { readFileIfPresent, writePrivateFile } from '../platform/private-file.ts';
import type { Random } from '../platform/random.ts';

const pathOf = (homeDir: string): string => join(homeDir, 'cairn-server.json');

export async function writeFacts(homeDir: string, facts: object, random: Random): Promise<void> {
  await writePrivateFile(pathOf(homeDir), `${JSON.stringify(facts)}\n`, random);
}

export async function hasServerFacts({ homeDir }: ManagedServer): Promise<boolean> {
  return (await readFileIfPresent(pathOf(homeDir))) !== null;
}

/** @throws engine-refused when the folder is none of ours, or was restored before they were kept */
export async function readFacts(homeDir: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFileIfPresent(pathOf(homeDir));
  if (text !== null) return JSON.parse(text) as Record<string, unknown>;
  throw new CairnError('engine-refused', `${pathOf(homeDir)} is missing`, {
    hint: 'without it nobody knows how the server was started',
  });
}
