// What must be known to start a server of ours again lies in its own folder, written once when the
// folder was restored: the arguments follow from it, from the port and from this host.
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { ManagedServer } from '../../model/instance.ts';
import { readFileIfPresent, writePrivateFile } from '../../platform/private-file.ts';
import type { Random } from '../../platform/random.ts';
import type { EngineNotes } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';

export type ServerFacts = {
  readonly serverVersion: string;
  readonly notes: PostgresNotes;
  /** The data folder came with its own `postgresql.conf`. */
  readonly hasOwnConfig: boolean;
};

const pathOf = (homeDir: string): string => join(homeDir, 'cairn-server.json');

export async function writeServerFacts(
  homeDir: string,
  facts: ServerFacts,
  random: Random,
): Promise<void> {
  await writePrivateFile(pathOf(homeDir), `${JSON.stringify(facts)}\n`, random);
}

export async function hasServerFacts({ homeDir }: ManagedServer): Promise<boolean> {
  return (await readFileIfPresent(pathOf(homeDir))) !== null;
}

/** @throws engine-refused when the folder is none of ours, or was restored before they were kept */
export async function readServerFacts(homeDir: string): Promise<ServerFacts> {
  const text = await readFileIfPresent(pathOf(homeDir));
  if (text === null) {
    throw new CairnError('engine-refused', `${pathOf(homeDir)} is missing`, {
      hint: 'without it nobody knows how the server was started',
    });
  }
  const { serverVersion, notes, hasOwnConfig } = JSON.parse(text) as Record<string, unknown>;
  return {
    serverVersion: String(serverVersion),
    notes: parseNotes((notes ?? {}) as EngineNotes),
    hasOwnConfig: hasOwnConfig === true,
  };
}
