import type { Random } from '../../platform/random.ts';
import { readFacts, writeFacts } from '../server-facts.ts';
import type { Settings } from './server-config.ts';

export type ServerFacts = {
  readonly serverVersion: string;
  /** The server's program, absolute. */
  readonly program: string;
  readonly settings: Settings;
  /** Its own, so that it is taken for no other in a replication. */
  readonly serverId: number;
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
  // Written by `writeServerFacts` alone.
  const facts = (await readFacts(homeDir)) as ServerFacts;
  const { serverVersion, program, settings, serverId } = facts;
  return { serverVersion, program, settings, serverId };
}

/** Any but zero and those that people choose. */
export function chooseServerId(random: Random): number {
  return 0x8000_0000 + (random.bytes(4).readUInt32BE() >>> 1);
}
