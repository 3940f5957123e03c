import type { Random } from '../../platform/random.ts';
import type { EngineNotes } from '../engine.ts';
import { readFacts, writeFacts } from '../server-facts.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';

export type ServerFacts = {
  readonly serverVersion: string;
  readonly notes: PostgresNotes;
  /** The data folder came with its own `postgresql.conf`. */
  readonly hasOwnConfig: boolean;
};

export async function writeServerFacts(
  homeDir: string,
  facts: ServerFacts,
  random: Random,
): Promise<void> {
  await writeFacts(homeDir, facts, random);
}

/** @throws engine-refused when there are none */
export async function readServerFacts(homeDir: string): Promise<ServerFacts> {
  const { serverVersion, notes, hasOwnConfig } = await readFacts(homeDir);
  return {
    serverVersion: String(serverVersion),
    notes: parseNotes((notes ?? {}) as EngineNotes),
    hasOwnConfig: hasOwnConfig === true,
  };
}
